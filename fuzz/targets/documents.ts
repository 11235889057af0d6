/** Targets among documents that people and services sign: charters, acts, notes, proofs, receipts, bundles, age files. */
import { concat, equal } from '@cloister/core/bytes/bytes'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJson } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { parseAct, signAct, verifyAct } from '@cloister/core/charter/acts'
import { canonicalCharter, charterDigest } from '@cloister/core/charter/canonical'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Charter } from '@cloister/core/charter/types'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import { parseCheckpoint, checkpointText } from '@cloister/core/log/checkpoint'
import { cosignNote, COSIGNATURE, ED25519, formatNote, noteKey, parseNote, parseVkey, signNote, type Note, type NoteKey } from '@cloister/core/log/note'
import { flatPolicy, formatPolicy, parsePolicy, verifyCheckpoint, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof, parseProof, verifyProof, type TlogProof } from '@cloister/core/log/proof'
import { inclusionProof, leafHash, nodeHash, type HashAt } from '@cloister/core/log/tree'
import { encodeReceipt, parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { orRefuse } from '@cloister/core/refusal'
import { dearmor } from '@cloister/core/seal/age/armor'
import { fromBech32 } from '@cloister/core/seal/age/bech32'
import { decrypt, encrypt, generateIdentity } from '@cloister/core/seal/age/index'
import { parseHeader } from '@cloister/core/seal/age/header'
import { parseRecipient } from '@cloister/core/seal/age/recipients'
import { parseSealed } from '@cloister/core/seal/release'
import { toBase64 } from '@cloister/core/bytes/base64'
import { formatKey } from '@cloister/core/crypto/keys'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { DOCUMENTS } from '../../core/charter/documents.fixture.ts'
import { signer } from '../../core/charter/scene.fixture.ts'
import { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { change, changeJson, changeText } from '../texts.ts'
import { textOf } from './bytes.ts'

const charters = DOCUMENTS.map(one => one.yaml)
const canonical = charters.map(yaml => jcs(orRefuse(parseCharterYaml(yaml))))
const changedText = (valid: readonly string[]) => (draw: Draw) => {
  const text = draw.pick(valid)
  return draw.oneIn(30) ? utf8(text) : draw.oneIn(3) ? utf8(changeText(draw, text)) : change(draw, utf8(text))
}
const sameCharter = (_: Uint8Array, value: unknown) => {
  const charter = value as Charter // what judge gave
  const written = canonicalCharter(charter)
  return charterDigest(p, orRefuse(parseCharter(written))) === charterDigest(p, charter) ? undefined : 'another charter in canonical form'
}

const [alpha, logger, witness] = ['alpha', 'log', 'witness'].map(signer)
if (alpha === undefined || logger === undefined || witness === undefined || alpha.publicKey.kind !== 'ed25519' || logger.publicKey.kind !== 'ed25519' || witness.publicKey.kind !== 'ed25519') throw new TypeError('three Ed25519 signers')
const policy: LogPolicy = flatPolicy([noteKey(p, 'log.example', ED25519, logger.publicKey.raw).vkey], [noteKey(p, 'w.example', COSIGNATURE, witness.publicKey.raw).vkey], 1)
const entries = Array.from({ length: 7 }, (_, i) => utf8(`entry ${i}`))
const hashAt: HashAt = (level, index) => (level === 0 ? leafHash(p, entries[index] ?? new Uint8Array(0)) : nodeHash(p, hashAt(level - 1, 2 * index), hashAt(level - 1, 2 * index + 1)))
const root = nodeHash(p, hashAt(2, 0), nodeHash(p, hashAt(1, 2), hashAt(0, 6)))
const note = cosignNote(p, signNote(p, { text: checkpointText('log.example', 7, root), signatures: [] }, 'log.example', logger), 'w.example', witness, 1_800_000_000)
const checkpoint = formatNote(note)
const proof = formatProof({ index: 3, path: inclusionProof(p, 3, 7, hashAt), checkpoint })
const bothSignatures = (text: string) => parseNote(text).signatures.filter(one => ['log.example', 'w.example'].includes(one.name)).map(one => toBase64(concat(one.keyId, one.signature)))
/** Lines of unknown keys count for nothing, and the order of lines says nothing. */
const noteSame = (text: string) => JSON.stringify([parseNote(text).text, [...new Set(bothSignatures(text))].sort()])

const act = signAct(alpha, { verb: 'approve', lineage: `sha256:${'1'.repeat(64)}`, digest: `sha256:${'2'.repeat(64)}`, epoch: 2, party: 'alpha' })
const fraud = orRefuse(parseCharterYaml(charters[0] ?? ''))
const receipt = encodeReceipt(alpha, 'ran', [{ name: 'result', digest: { sha256: '0'.repeat(64) } }], { epoch: 1, inputs: ['a', 'b'] })

const random = (length: number) => new Draw('age', 1).bytes(length)
const identity = generateIdentity(p, 'x25519', random)
const file = orRefuse(encrypt(p, [identity.recipient], utf8('a short secret'), random))
const armored = utf8(`-----BEGIN AGE ENCRYPTED FILE-----\n${(toBase64(file).match(/.{1,64}/g) ?? []).join('\n')}\n-----END AGE ENCRYPTED FILE-----\n`)
const sealed = jcs({ enc: toBase64(new Uint8Array(1120)), ciphertext: toBase64(new Uint8Array(90)), key: formatKey(alpha.publicKey), signature: toBase64(new Uint8Array(64)) })

export const targets: readonly Target[] = [
  { name: 'charter-yaml', draw: changedText(charters), judge: input => orRefuse(parseCharterYaml(textOf(input))), again: sameCharter },
  { name: 'charter-json', draw: draw => utf8(draw.oneIn(5) ? changeText(draw, draw.pick(canonical)) : changeJson(draw, draw.pick(canonical))), judge: input => orRefuse(parseCharter(input)), again: sameCharter },
  { name: 'act', slow: true, draw: changedText([jcs(act)]), judge: input => { const read = parseAct(parseJson(input)); orRefuse(verifyAct(p, fraud, read)); return read }, signed: { valid: [utf8(jcs(act))], same: input => jcs(parseJson(input)) } },
  { name: 'note', draw: changedText([checkpoint]), judge: input => parseNote(textOf(input)), again: (input, value) => (formatNote(value as Note) === textOf(input) ? undefined : 'written back as another note') }, // what judge gave
  { name: 'vkey', draw: changedText([...policy.logs, ...policy.witnesses].map(one => one.vkey)), judge: input => parseVkey(p, textOf(input)), again: (input, value) => ((value as NoteKey).vkey === textOf(input) ? undefined : 'written back as another key') }, // what judge gave
  { name: 'checkpoint', slow: true, draw: changedText([checkpoint]), judge: input => { const read = orRefuse(parseCheckpoint(textOf(input))); return orRefuse(verifyCheckpoint(p, read, policy)) }, signed: { valid: [utf8(checkpoint)], same: input => noteSame(textOf(input)) } },
  { name: 'log-policy', draw: changedText([formatPolicy(policy), `log ${policy.logs[0]?.vkey} https://log.example\nwitness a ${policy.witnesses[0]?.vkey} https://a.example\ngroup g any a\ngroup h all g\nquorum h\n`]), judge: input => orRefuse(parsePolicy(textOf(input))), again: (_, value) => (jcs(orRefuse(parsePolicy(formatPolicy(value as LogPolicy)))) === jcs(value) ? undefined : 'another policy when written again') }, // what judge gave
  { name: 'proof', draw: changedText([proof]), judge: input => orRefuse(parseProof(textOf(input))), again: (input, value) => (formatProof(value as TlogProof) === textOf(input) ? undefined : 'written back as another proof') }, // what judge gave
  { name: 'inclusion', slow: true, draw: changedText([proof]), judge: input => orRefuse(verifyProof(p, utf8('entry 3'), textOf(input), policy)), signed: { valid: [utf8(proof)], same: input => { const read = orRefuse(parseProof(textOf(input))); return JSON.stringify([read.index, read.path.map(toBase64), noteSame(read.checkpoint)]) } } },
  { name: 'receipt', slow: true, draw: changedText([receipt]), judge: input => { const read = orRefuse(parseReceipt(textOf(input))); orRefuse(verifyReceiptSignature(p, read, formatKey(alpha.publicKey))); return read }, signed: { valid: [utf8(receipt)], same: input => jcs(parseJson(input)) } },
  { name: 'age-header', draw: draw => change(draw, file), judge: input => parseHeader(input), again: (input, value) => (equal((value as { covered: Uint8Array }).covered, input.subarray(0, (value as { covered: Uint8Array }).covered.length)) ? undefined : 'covers other bytes') }, // what judge gave
  { name: 'age-armor', draw: changedText([textOf(armored)]), judge: input => dearmor(input) },
  { name: 'age-file', slow: true, draw: draw => change(draw, draw.oneIn(4) ? armored : file), judge: input => orRefuse(decrypt(p, { identities: [identity.identity] }, input)), again: (_, value) => (equal(value as Uint8Array, utf8('a short secret')) ? undefined : 'another plaintext') }, // what judge gave
  { name: 'bech32', draw: changedText([identity.recipient]), judge: input => fromBech32('age', textOf(input), 'recipient') },
  { name: 'age-recipient', draw: changedText([identity.recipient, generateIdentity(p, 'hybrid', random).recipient]), judge: input => parseRecipient(textOf(input)) },
  { name: 'sealed-release', draw: changedText([sealed]), judge: input => parseSealed(parseJson(input)) },
]
