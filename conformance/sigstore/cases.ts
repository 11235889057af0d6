/**
 * What must be accepted and refused when Sigstore's unmodified clients write into our log and verify what came back. Each
 * case says what their verifier answers and what ours does: theirs asks for no witness and does not read every field, and
 * where that is so, it stands here as a case.
 */
import { createHash } from 'node:crypto'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { concat } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import { keyToSpki, spkiToKey } from '@cloister/core/crypto/keys'
import { checkpointText, parseCheckpoint } from '@cloister/core/log/checkpoint'
import { formatNote, signNote, type NoteSignature } from '@cloister/core/log/note'
import { paeBytes } from '@cloister/core/receipt/receipt'
import { orRefuse, type RefusalCode } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import type { TransparencyLogEntry } from '../../cloud/ledger/rekor.ts'
import { NOW, TYPE, type BundleJson, type Entry, type VerifyOptions, type World } from './world.ts'

const STATEMENT = JSON.stringify({ _type: 'https://in-toto.io/Statement/v1', subject: [{ name: 'a', digest: { sha256: '00'.repeat(32) } }], predicateType: 'https://slsa.dev/provenance/v1', predicate: {} })
const ARTIFACT = 'an artifact'

/** Bundles made once; cases change copies. `otherEntry` is what the same signer logged for another artifact. */
export interface Bundles { readonly dsse: BundleJson; readonly message: BundleJson; readonly certified: BundleJson; readonly certifiedMessage: BundleJson; readonly hashed: BundleJson; readonly late: BundleJson; readonly otherEntry: Entry; readonly foreign: Entry }

/** `foreign` is another log of ours, with an origin and a key of its own. */
export async function makeBundles(world: World, foreign: World): Promise<Bundles> {
  const alice = world.keyed(world.alice, 'alice')
  const dsse = await world.bundle('dsse', alice, STATEMENT)
  return {
    dsse, message: await world.bundle('message', alice, ARTIFACT), hashed: await hashedEnvelope(world, dsse),
    certified: await world.bundle('dsse', world.certified(world.alice), STATEMENT, NOW), certifiedMessage: await world.bundle('message', world.certified(world.alice), ARTIFACT, NOW),
    late: await world.bundle('dsse', world.certified(world.alice), STATEMENT, NOW + 7200),
    otherEntry: entryOf(await world.bundle('dsse', alice, STATEMENT.replace('"a"', '"b"'))), foreign: entryOf(await foreign.bundle('dsse', foreign.keyed(world.alice, 'alice'), STATEMENT)),
  }
}

/** As Rekor now wants envelopes: a hashed record over what DSSE signs. @sigstore/sign does not send it yet; @sigstore/verify reads it. */
async function hashedEnvelope({ url, alice }: World, dsse: BundleJson): Promise<BundleJson> {
  const { payload, signatures: [signature] } = orFail(dsse.dsseEnvelope)
  const verifier = { publicKey: { rawBytes: toBase64(keyToSpki(spkiToKey(new Uint8Array(alice.publicKey.export({ format: 'der', type: 'spki' }))))) }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' }
  const digest = createHash('sha256').update(paeBytes(fromBase64(payload), TYPE)).digest('base64')
  const answer = await fetch(`${url}/api/v2/log/entries`, { method: 'POST', body: JSON.stringify({ hashedRekordRequestV002: { digest, signature: { content: signature?.sig, verifier } } }) })
  const bundle = structuredClone(dsse)
  // Our own answer, which the verifiers judge.
  bundle.verificationMaterial.tlogEntries = [await answer.json() as TransparencyLogEntry as Entry]
  return bundle
}

export interface Case {
  readonly name: string
  readonly of: Exclude<keyof Bundles, 'otherEntry' | 'foreign'>
  readonly theirs: string
  /** Of the entry and its proof; signer and artifact are not its question. */
  readonly ours: 'accept' | RefusalCode
  change?(bundle: BundleJson, bundles: Bundles, world: World): void
  options?(world: World): VerifyOptions
}

const PROOF = 'TLOG_INCLUSION_PROOF_ERROR'
const BODY = 'TLOG_BODY_ERROR'
const artifact = (text = ARTIFACT) => () => ({ artifact: text })
const onProof = (change: (proof: Entry['inclusionProof'], world: World, bundles: Bundles) => void) => (bundle: BundleJson, bundles: Bundles, world: World) => change(entryOf(bundle).inclusionProof, world, bundles)
/** The checkpoint with other signatures, or another text under the same ones. */
const onCheckpoint = (change: (text: string, signatures: readonly NoteSignature[], world: World) => { text?: string; signatures?: readonly NoteSignature[] }) => onProof((proof, world) => {
  const { note } = orRefuse(parseCheckpoint(proof.checkpoint.envelope))
  proof.checkpoint.envelope = formatNote({ ...note, ...change(note.text, note.signatures, world) })
})
const [isLogs, isWitness] = [({ name }: NoteSignature) => name === 'log.example', ({ name }: NoteSignature) => name !== 'log.example']

export const CASES: readonly Case[] = [
  { name: 'an envelope with a key', of: 'dsse', theirs: 'accept', ours: 'accept' },
  { name: 'an artifact with a key', of: 'message', theirs: 'accept', ours: 'accept', options: artifact() },
  { name: 'an envelope with a certificate and a timestamp', of: 'certified', theirs: 'accept', ours: 'accept' },
  { name: 'an artifact with a certificate and a timestamp', of: 'certifiedMessage', theirs: 'accept', ours: 'accept', options: artifact() },
  { name: 'an envelope, logged as a hashed record', of: 'hashed', theirs: 'accept', ours: 'accept' },

  // the proof
  { name: 'a proof with a bit flipped', of: 'dsse', theirs: PROOF, ours: 'log.inclusion', change: onProof(proof => { proof.hashes[0] = flipped(proof.hashes[0] ?? '') }) },
  { name: 'a proof without its last hash', of: 'message', theirs: PROOF, ours: 'log.inclusion', options: artifact(), change: onProof(proof => { proof.hashes.pop() }) },
  { name: 'a proof with one hash more', of: 'dsse', theirs: PROOF, ours: 'log.inclusion', change: onProof(proof => { proof.hashes.push(proof.rootHash) }) },
  { name: 'a proof for the entry before', of: 'dsse', theirs: PROOF, ours: 'log.inclusion', change: onProof(proof => { proof.logIndex = String(Number(proof.logIndex) - 1) }) },
  { name: 'a proof for an index that the tree does not have', of: 'message', theirs: PROOF, ours: 'log.inclusion', options: artifact(), change: onProof(proof => { proof.logIndex = proof.treeSize }) },
  { name: 'a proof without a checkpoint', of: 'dsse', theirs: PROOF, ours: 'log.note', change: onProof(proof => { proof.checkpoint = { envelope: '' } }) },

  // the checkpoint
  { name: 'another root under the same signatures', of: 'dsse', theirs: PROOF, ours: 'log.signature', change: onCheckpoint(text => ({ text: text.replace(/\n[^\n]*\n$/, `\n${toBase64(new Uint8Array(32))}\n`) })) },
  { name: 'another size under the same signatures', of: 'message', theirs: PROOF, ours: 'log.signature', options: artifact(), change: onCheckpoint(text => ({ text: text.replace(/\n[0-9]+\n/, '\n9999\n') })) },
  { name: 'another root that the log signed with one of its keys', of: 'dsse', theirs: PROOF, ours: 'log.signature', change: onProof((proof, world) => { proof.checkpoint.envelope = signedBy(world, 'log.example', Number(proof.treeSize)) }) },
  { name: 'another origin under the key of the log', of: 'dsse', theirs: PROOF, ours: 'log.origin', change: onProof((proof, world) => { proof.checkpoint.envelope = signedBy(world, 'evil.example', Number(proof.treeSize), proof.rootHash) }) },
  { name: 'an entry of another log', of: 'dsse', theirs: PROOF, ours: 'log.origin', change: (bundle, { foreign }) => { bundle.verificationMaterial.tlogEntries = [structuredClone(foreign)] } },
  { name: 'no signature of the log: cosignatures only', of: 'dsse', theirs: PROOF, ours: 'log.signature', change: onCheckpoint((_, signatures) => ({ signatures: signatures.filter(isWitness) })) },
  { name: 'a cosignature in the name of the log', of: 'dsse', theirs: PROOF, ours: 'log.signature', change: onCheckpoint((_, signatures) => ({ signatures: signatures.filter(isWitness).map(one => ({ ...one, name: 'log.example' })) })) },
  { name: 'no signature at all', of: 'message', theirs: PROOF, ours: 'log.note', options: artifact(), change: onProof(proof => { proof.checkpoint.envelope = proof.checkpoint.envelope.slice(0, proof.checkpoint.envelope.indexOf('—')) }) },
  { name: 'the log\'s own signatures with a bit flipped', of: 'dsse', theirs: PROOF, ours: 'log.signature', change: onCheckpoint((_, signatures) => ({ signatures: signatures.map(one => (isLogs(one) ? { ...one, signature: one.signature.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) } : one)) })) },
  { name: 'a log that is not trusted', of: 'dsse', theirs: PROOF, ours: 'accept', options: () => ({ log: { logId: NOT_OURS, checkpointKeyId: NOT_OURS } }) },
  { name: 'the log id of the trusted log over another key', of: 'dsse', theirs: PROOF, ours: 'accept', options: () => ({ log: { publicKey: anotherKey() } }) },
  { name: 'the key of the trusted log under another name', of: 'dsse', theirs: PROOF, ours: 'accept', options: () => ({ log: { baseUrl: 'https://evil.example' } }) },
  { name: 'a log id that is not the log\'s', of: 'dsse', theirs: PROOF, ours: 'accept', change: bundle => { entryOf(bundle).logId.keyId = flipped(entryOf(bundle).logId.keyId) } },

  // the body
  { name: 'the entry of another artifact by the same signer', of: 'dsse', theirs: BODY, ours: 'accept', change: (bundle, { otherEntry }) => { bundle.verificationMaterial.tlogEntries = [structuredClone(otherEntry)] } },
  { name: 'the entry of another kind by the same signer', of: 'message', theirs: BODY, ours: 'accept', options: artifact(), change: (bundle, { otherEntry }) => { bundle.verificationMaterial.tlogEntries = [structuredClone(otherEntry)] } },
  { name: 'a body that is not the one that was logged', of: 'dsse', theirs: PROOF, ours: 'log.inclusion', change: (bundle, { otherEntry }) => { entryOf(bundle).canonicalizedBody = otherEntry.canonicalizedBody } },
  { name: 'a body with a space in it', of: 'message', theirs: PROOF, ours: 'log.inclusion', options: artifact(), change: bundle => { entryOf(bundle).canonicalizedBody = toBase64(concat(fromBase64(entryOf(bundle).canonicalizedBody), utf8(' '))) } },
  { name: 'another kind than the body\'s', of: 'dsse', theirs: BODY, ours: 'accept', change: bundle => { entryOf(bundle).kindVersion.kind = 'hashedrekord' } },
  { name: 'another version than the body\'s', of: 'hashed', theirs: BODY, ours: 'accept', change: bundle => { entryOf(bundle).kindVersion.version = '0.0.1' } },

  // what was signed, and who signed
  { name: 'another payload', of: 'dsse', theirs: BODY, ours: 'accept', change: bundle => { orFail(bundle.dsseEnvelope).payload = toBase64(utf8(STATEMENT.replace('"a"', '"b"'))) } },
  { name: 'another type of payload, logged by its hash', of: 'hashed', theirs: BODY, ours: 'accept', change: bundle => { orFail(bundle.dsseEnvelope).payloadType = 'text/plain' } },
  { name: 'another artifact', of: 'message', theirs: 'SIGNATURE_ERROR', ours: 'accept', options: artifact('another artifact') },
  { name: 'a key of another signer', of: 'dsse', theirs: 'SIGNATURE_ERROR', ours: 'accept', change: bundle => { bundle.verificationMaterial.publicKey = { hint: 'bob' } } },
  { name: 'a key that nobody knows', of: 'message', theirs: 'PUBLIC_KEY_ERROR', ours: 'accept', options: () => ({ artifact: ARTIFACT, keys: {} }) },
  { name: 'the certificate of another signer', of: 'certified', theirs: 'SIGNATURE_ERROR', ours: 'accept', change: (bundle, _, { bob }) => { bundle.verificationMaterial.certificate = { rawBytes: toBase64(bob.certificate.der) } } },
  { name: 'a certificate of another authority', of: 'certified', theirs: 'CERTIFICATE_ERROR', ours: 'accept', change: (bundle, { dsse }) => { bundle.verificationMaterial.certificate = { rawBytes: certificateIn(dsse) } } },
  { name: 'a timestamp after the certificate\'s end', of: 'late', theirs: 'CERTIFICATE_ERROR', ours: 'accept' },
  { name: 'a timestamp of another signature', of: 'certified', theirs: 'TIMESTAMP_ERROR', ours: 'accept', change: (bundle, { certifiedMessage }) => { bundle.verificationMaterial.timestampVerificationData = orFail(certifiedMessage.verificationMaterial.timestampVerificationData) } },
  { name: 'a certificate without a timestamp', of: 'certified', theirs: 'TIMESTAMP_ERROR', ours: 'accept', change: bundle => { Reflect.deleteProperty(bundle.verificationMaterial, 'timestampVerificationData') } },

  // how many
  { name: 'one entry where two are asked for', of: 'dsse', theirs: 'TLOG_ERROR', ours: 'accept', options: () => ({ tlogThreshold: 2 }) },
  { name: 'the same entry twice where two are asked for', of: 'dsse', theirs: 'TLOG_ERROR', ours: 'accept', options: () => ({ tlogThreshold: 2 }), change: bundle => { bundle.verificationMaterial.tlogEntries.push(structuredClone(entryOf(bundle))) } },

  // what only one of the two asks for
  { name: 'no cosignatures: theirs asks for no witness', of: 'dsse', theirs: 'accept', ours: 'log.witnesses', change: onCheckpoint((_, signatures) => ({ signatures: signatures.filter(isLogs) })) },
  { name: 'without the ML-DSA-44 signature of the log: theirs cannot read it', of: 'dsse', theirs: 'accept', ours: 'log.signature', change: onCheckpoint((_, signatures) => ({ signatures: signatures.filter(one => isWitness(one) || one.signature.length === 64) })) },
  { name: 'fields beside the proof that nobody reads: index, root and size say nothing', of: 'message', theirs: 'accept', ours: 'accept', options: artifact(), change: bundle => { const entry = entryOf(bundle); entry.logIndex = '7'; entry.inclusionProof.rootHash = flipped(entry.inclusionProof.rootHash); entry.inclusionProof.treeSize = '8' } },
]

/** What both verifiers say of a case, and whether that is what it expects. */
export function judge({ of, change, options, theirs, ours }: Case, bundles: Bundles, world: World): { readonly passed: boolean; readonly theirs: string; readonly ours: string } {
  const bundle = structuredClone(bundles[of])
  change?.(bundle, bundles, world)
  const own = world.ours(bundle)
  const got = { theirs: world.theirs(bundle, options?.(world)), ours: own.ok ? 'accept' : own.refusal.code }
  return { ...got, passed: got.theirs === theirs && got.ours === ours }
}

/** A key that is no log's, as a trusted root has it. */
export const anotherKey = () => ({ rawBytes: toBase64(keyToSpki(generateSigner('ed25519').publicKey)), keyDetails: 'PKIX_ED25519', validFor: { start: '1970-01-01T00:00:00Z' } })
const NOT_OURS = { keyId: toBase64(new Uint8Array(32)) }

const entryOf = (bundle: BundleJson): Entry => orFail(bundle.verificationMaterial.tlogEntries[0])
const flipped = (base64: string): string => toBase64(fromBase64(base64).map((byte, i) => (i === 0 ? byte ^ 1 : byte)))

/** A checkpoint that the log's own key signed, outside of the log. */
function signedBy({ signer }: World, origin: string, size: number, root = toBase64(new Uint8Array(32))): string {
  return formatNote(signNote(p, { text: checkpointText(origin, size, fromBase64(root)), signatures: [] }, origin, signer))
}

/** The certificate that a signer with a key of its own signed itself, as it lies in the log. */
function certificateIn(bundle: BundleJson): string {
  const [, found] = /"x509Certificate":\{"rawBytes":"([^"]+)"/.exec(Buffer.from(entryOf(bundle).canonicalizedBody, 'base64').toString()) ?? []
  return orFail(found)
}

function orFail<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('a bundle of another form')
  return value
}
