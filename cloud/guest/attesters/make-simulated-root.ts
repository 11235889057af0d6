/**
 * Made the simulated ARK and ASK once: `node --conditions=source cloud/guest/attesters/make-simulated-root.ts` writes the
 * public parts to core/evidence/simulated/root.ts and the ASK's deliberately published key to simulated-key.ts. Running
 * it again gives other roots, and then no earlier simulated receipt verifies.
 */
import { constants, createPrivateKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { basicConstraintsCa, issueCertificate, keyUsage, PSS_SHA384 } from '@cloister/core/crypto/issue'
import { spkiToKey } from '@cloister/core/crypto/keys'

const ARK = 'Cloister Simulated ARK: NOT SECURE'
const ASK = 'Cloister Simulated ASK: NOT SECURE'
const here = import.meta.dirname

function make(): void {
  const ark = generateKeyPairSync('rsa', { modulusLength: 4096 })
  const ask = generateKeyPairSync('rsa', { modulusLength: 4096 })
  const [notBefore, notAfter] = [Date.UTC(2026, 0, 1) / 1000, Date.UTC(2049, 0, 1) / 1000]
  const issue = (subject: string, key: KeyObject) => issueCertificate({
    serial: randomBytes(8), issuer: ARK, subject, key: spkiToKey(key.export({ format: 'der', type: 'spki' })), notBefore, notAfter,
    extensions: [basicConstraintsCa(subject === ARK ? 1 : 0), keyUsage(0x06)],
  }, { algorithm: PSS_SHA384, sign: tbs => signPss(ark.privateKey, tbs) })
  writeFileSync(join(here, '../../../core/evidence/simulated/root.ts'), rootFile(issue(ARK, ark.publicKey), issue(ASK, ask.publicKey)))
  const pem = ask.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  createPrivateKey(pem)
  writeFileSync(join(here, 'simulated-key.ts'), keyFile(pem))
}

function signPss(key: KeyObject, tbs: Uint8Array): Uint8Array {
  return sign('sha384', tbs, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })
}

const folded = (der: Uint8Array) => (Buffer.from(der).toString('base64').match(/.{1,150}/g) ?? []).join('\n')

const rootFile = (ark: Uint8Array, ask: Uint8Array) => `/**
 * The root of simulated machines. NOT SECURE, by design: the key below it is published (cloud/guest/attesters), so that a
 * laptop can play a TEE. Evidence under this root is simulated, is called simulated everywhere, and satisfies only a
 * charter that names \`simulated\`. Written by cloud/guest/attesters/make-simulated-root.ts.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { parseCertificate } from '../../crypto/x509.ts'
import { orRefuse } from '../../refusal.ts'
import type { RootSet } from '../snp/verify.ts'

export const SIMULATED_ASK_NAME = '${ASK}'
/** The product line whose report layout the simulated chip uses. */
export const SIMULATED_PRODUCT = 'Genoa'

export function simulatedRoots(): readonly RootSet[] {
  return (parsed ??= [{ product: SIMULATED_PRODUCT, simulated: true, ark: read(ARK), intermediates: [read(ASK)] }])
}

let parsed: readonly RootSet[] | undefined
const read = (text: string) => orRefuse(parseCertificate(fromBase64(text.replace(/\\s/g, '')), 'simulated root'))

const ARK = \`${folded(ark)}\`

const ASK = \`${folded(ask)}\`
`

const keyFile = (pem: string) => `/**
 * The private key of the simulated ASK. PUBLISHED ON PURPOSE: it protects nothing. Whoever holds it can be a simulated
 * chip, and everybody holds it. Only the simulated attester and tests may import it. Written by make-simulated-root.ts.
 */
export const SIMULATED_ASK_KEY = \`${pem}\`
`

make()
