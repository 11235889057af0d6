/** Targets of the Rekor face: requests as clients send them. What is accepted is logged, so it must be what was signed. */
import { toBase64 } from '@cloister/core/bytes/base64'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJsonObject } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { keyToSpki } from '@cloister/core/crypto/keys'
import { paeBytes } from '@cloister/core/receipt/receipt'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { readRekorRequest, type RekorEntry } from '../../cloud/ledger/rekor-entry.ts'
import { authority, certificateDer, LEAF_EXTENSIONS } from '../../core/crypto/chain.fixture.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { changeJson, changeText } from '../texts.ts'
import { textOf } from './bytes.ts'

const alice = authority('alice')
const keyDetails = 'PKIX_ECDSA_P256_SHA_256'
const keyed = { publicKey: { rawBytes: toBase64(keyToSpki(alice.key)) }, keyDetails }
const certified = { x509Certificate: { rawBytes: toBase64(certificateDer(alice, alice, { extensions: LEAF_EXTENSIONS })) }, keyDetails }
const artifact = utf8('an artifact')
const hashed = (verifier: object) => jcs({ hashedRekordRequestV002: { digest: toBase64(p.hash('sha256', artifact)), signature: { content: toBase64(alice.port.sign(artifact)), verifier } } })
const envelope = (verifier: object) => jcs({ dsseRequestV002: { envelope: { payload: toBase64(artifact), payloadType: 'text/plain', signatures: [{ keyid: 'alice', sig: toBase64(alice.port.sign(paeBytes(artifact, 'text/plain'))) }] }, verifiers: [verifier] } })

const drawn = (texts: readonly string[]) => (draw: Draw) => utf8(draw.oneIn(40) ? draw.pick(texts) : draw.oneIn(6) ? changeText(draw, draw.pick(texts)) : changeJson(draw, draw.pick(texts)))
const judge = (input: Uint8Array) => orRefuse(readRekorRequest(p, input))
/** The body of an entry is what others compute anew: canonical, and told by the kind beside it. */
const again = (_: Uint8Array, value: unknown) => {
  const { kind, version, body } = value as RekorEntry // what judge gave
  const text = fromUtf8(body)
  const read = parseJsonObject(text)
  return jcs(read) === text && read['kind'] === kind && read['apiVersion'] === version ? undefined : 'a body that is not canonical'
}
const withoutKeyId = (text: string) => jcs(JSON.parse(text, (key: string, value: unknown) => (key === 'keyid' ? undefined : value)))
const plain = [hashed(keyed), envelope(keyed)]

export const targets: readonly Target[] = [
  // The name of a key in an envelope is not signed and not logged.
  { name: 'rekor-request', slow: true, draw: drawn(plain), judge, again, signed: { valid: plain.map(text => utf8(text)), same: input => withoutKeyId(textOf(input)) } },
  // Of a certificate the key counts; the rest is logged as it came and judged by whoever verifies a bundle.
  { name: 'rekor-certified', slow: true, draw: drawn([hashed(certified), envelope(certified)]), judge, again },
]
