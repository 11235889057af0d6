/** Targets of TDX and SGX: quotes of every version with their collateral, and the reader of quotes. */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { toHex } from '@cloister/core/bytes/hex'
import type { Json, JsonObject } from '@cloister/core/bytes/json'
import { readPem } from '@cloister/core/crypto/pem'
import { readCollateral } from '@cloister/core/evidence/dcap/collateral'
import { parseQuote } from '@cloister/core/evidence/dcap/quote'
import { readDcap, verifyDcap } from '@cloister/core/evidence/dcap/verify'
import { evidenceOf, NOW, root, type Plan } from '../../core/evidence/dcap/dcap.fixture.ts'
import { evidenceTargets } from '../signed.ts'
import type { Target } from '../target.ts'

const PLANS: readonly Plan[] = [{}, { version: 5 }]

/** What a verdict rests on: documents byte for byte; hex in either case, PEM in any spelling; of a chain the leaf, for the rest may be known. */
function same(json: JsonObject): Json {
  const { signed, signature, attestationKey, qe, certificates } = parseQuote(fromBase64(String(json['quote'])))
  const given = readCollateral(json['collateral'] as JsonObject) // a verdict was reached, so it is one
  const leaves = [given.tcb_info_issuer_chain, given.qe_identity_issuer_chain].map(pem => readPem(pem, 'CERTIFICATE')[0]?.join() ?? '')
  const texts = [given.tcb_info_signature, given.qe_identity_signature, given.pck_crl, given.root_ca_crl].map(text => text.toLowerCase())
  return [...[signed, signature, attestationKey, qe.signed, qe.signature, qe.authData].map(toHex), certificates[0]?.join() ?? '', leaves, given.tcb_info, given.qe_identity, texts]
}

export const targets: readonly Target[] = [
  ...evidenceTargets({ name: 'tdx', valid: PLANS.map(evidenceOf), judge: (port, json) => verifyDcap(port, readDcap(json, 'tdx'), { now: NOW }, root), same }),
  ...evidenceTargets({ name: 'sgx', valid: [evidenceOf({ tee: 'sgx' })], judge: (port, json) => verifyDcap(port, readDcap(json, 'sgx'), { now: NOW }, root), same }),
]
