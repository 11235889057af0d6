/** How the vectors of log, receipt and seal run: a log of two entries, a receipt and a release, each changed in one place. */
import { utf8 } from '@cloister/core/bytes/text'
import { checkpointText, parseCheckpoint } from '@cloister/core/log/checkpoint'
import { verifyFork } from '@cloister/core/log/monitor'
import { cosignNote, COSIGNATURE, ED25519, formatNote, noteKey, parseNote, signNote } from '@cloister/core/log/note'
import { flatPolicy, parsePolicy, verifyCheckpoint } from '@cloister/core/log/policy'
import { formatProof, parseProof, verifyProof } from '@cloister/core/log/proof'
import { parseTilePath } from '@cloister/core/log/tiles'
import { leafHash, nodeHash, verifyConsistency } from '@cloister/core/log/tree'
import { formatKey } from '@cloister/core/crypto/keys'
import { hpkeKeyPair } from '@cloister/core/crypto/hpke'
import { encodeReceipt, parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { openRelease, sealRelease } from '@cloister/core/seal/release'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../../cloud/crypto/node.ts'

const log = generateSigner('ed25519', new Uint8Array(32).fill(1))
const witness = generateSigner('ed25519', new Uint8Array(32).fill(2))
const guest = generateSigner('p256')
const raw = (signer: typeof log) => (signer.publicKey.kind === 'ed25519' ? signer.publicKey.raw : new Uint8Array())
const policy = flatPolicy([noteKey(p, 'log.example', ED25519, raw(log)).vkey], [noteKey(p, 'w.example', COSIGNATURE, raw(witness)).vkey], 1)
const leaves = [leafHash(p, utf8('one')), leafHash(p, utf8('two'))] as const
const root = nodeHash(p, leaves[0], leaves[1])
const signed = (origin: string, cosign: boolean) => {
  const note = signNote(p, { text: checkpointText(origin, 2, root), signatures: [] }, 'log.example', log)
  return formatNote(cosign ? cosignNote(p, note, 'w.example', witness, 1000) : note)
}
const receipt = encodeReceipt(guest, 'ran', [{ name: 'a', digest: { sha256: '00'.repeat(32) } }], { epoch: 1 })
const text = (input: unknown): string => (input as { text: string }).text

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  'log.note': input => attempt(() => parseNote(text(input))),
  'log.checkpoint': input => parseCheckpoint(text(input)),
  'log.policy': input => parsePolicy(text(input)),
  'log.proof': input => parseProof(text(input)),
  'log.tile': input => parseTilePath(text(input)),
  /** { origin?, cosign?, replace? }: the checkpoint of the small log under its policy. */
  'log.head': input => attempt(() => {
    const { origin = 'log.example', cosign = true, replace } = input as { origin?: string; cosign?: boolean; replace?: [string, string] }
    const note = signed(origin, cosign)
    return orRefuse(verifyCheckpoint(p, orRefuse(parseCheckpoint(replace === undefined ? note : note.replace(...replace))), policy))
  }),
  /** { entry }: the proof of entry one, for another entry. */
  'log.included': input => verifyProof(p, utf8((input as { entry: string }).entry), formatProof({ index: 0, path: [leaves[1]], checkpoint: signed('log.example', true) }), policy),
  /** A fork said of a log that signed one tree only. */
  'log.fork': () => verifyFork(p, { first: signed('log.example', true), second: signed('log.example', false), root, proof: [] }, policy),
  /** A tree of two entries said to continue another tree of one. */
  'log.continued': () => verifyConsistency(p, 1, leaves[1], 2, root, [leaves[1]]),
  /** { text } or { replace: [from, to] } in the envelope of a good receipt. */
  'receipt.parse': input => parseReceipt('text' in (input as object) ? text(input) : receipt.replace(...(input as { replace: [string, string] }).replace)),
  /** { key?, flip? }: the signature under another key, or changed. */
  'receipt.signature': input => attempt(() => {
    const { key, flip } = input as { key?: string; flip?: boolean }
    const parsed = orRefuse(parseReceipt(receipt))
    const changed = flip === true ? { ...parsed, signature: parsed.signature.map(byte => byte ^ 1) } : parsed
    return orRefuse(verifyReceiptSignature(p, changed, key ?? formatKey(guest.publicKey)))
  }),
  /** { sender?, other?, assets? }: a release of another broker, for another guest, or about other assets. */
  'seal.open': input => attempt(() => {
    const { sender, other, assets } = input as { sender?: boolean; other?: boolean; assets?: boolean }
    const to = hpkeKeyPair(p, 'x-wing', new Uint8Array(32).fill(3))
    const context = { charter: `sha256:${'00'.repeat(32)}` as const, epoch: 1, nonce: new Uint8Array(32), head: new Uint8Array(32), assets: ['disk'] }
    const sealed = sealRelease(p, guest, to.publicKey, context, [{ asset: assets === true ? 'other' : 'disk', version: 1, digest: context.charter, identity: 'x' }], nodeRandom)
    const key = sender === true ? formatKey(generateSigner('p256').publicKey) : formatKey(guest.publicKey)
    return orRefuse(openRelease(p, other === true ? new Uint8Array(32).fill(4) : to.secret, key, context, sealed))
  }),
}

