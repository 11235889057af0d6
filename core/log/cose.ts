/**
 * COSE receipts (RFC 9942) over our tree, which is its RFC9162_SHA256 (vds 1): a COSE_Sign1 over a root, with the proof that
 * leads to it in the unprotected header. The root is detached, so that nobody can verify the signature without computing
 * the root from the proof; where others' receipts carry it, it has to be the one that was computed. The signature covers the root alone, neither the size of the tree nor the index of the entry:
 * they are used to compute, and are not given as verified. Trusts the port and the key that the caller chose.
 */
import { equal } from '../bytes/bytes.ts'
import { cborArray, cborBytes, cborFields, cborInt, readCbor, writeCbor, type Writable } from '../bytes/cbor.ts'
import { coseAlgorithmNumber, HEADER, readSign1, verifySign1, writeSign1, type CoseAlgorithm, type CoseSign1, type Sign1Options } from '../crypto/cose.ts'
import type { Primitives, PublicKey, Signer } from '../crypto/primitives.ts'
import { attempt, orRefuse, refuse, type Result } from '../refusal.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { verifyCheckpoint, type LogPolicy } from './policy.ts'
import { parseProof } from './proof.ts'
import { consistencyRoot, inclusionRoot, leafHash, PROOF_MAX, verifyConsistency, verifyInclusion } from './tree.ts'

/** Labels of RFC 9942 sections 2 and 4. */
const LABEL = { structure: 395, proofs: 396 } as const
const RFC9162_SHA256 = 1
const PROOF = { inclusion: -1, consistency: -2 } as const
const RECEIPT_LIMITS = { bytes: 1 << 16, depth: 8, items: 1000 }
const ALGORITHMS: Partial<Record<Signer['algorithm'], CoseAlgorithm>> = { ed25519: 'EdDSA', 'ecdsa-p256-sha256': 'ES256' }
const NOTHING = new Uint8Array(0)

/**
 * The receipt of an entry from its .tlog-proof: given only for what stands in a tree that the policy accepts. Signs with
 * Ed25519 or ES256; `keyId` tells readers which key to take (kid). Refuses what `verifyProof` refuses with, or
 * `crypto.algorithm`.
 */
export function inclusionReceipt(p: Primitives, entry: Uint8Array, proofText: string, policy: LogPolicy, signer: Signer, keyId?: Uint8Array): Result<Uint8Array> {
  return attempt(() => {
    const { index, path, checkpoint: text } = orRefuse(parseProof(proofText))
    const checkpoint = orRefuse(parseCheckpoint(text))
    orRefuse(verifyCheckpoint(p, checkpoint, policy))
    orRefuse(verifyInclusion(p, leafHash(p, entry), index, checkpoint.size, path, checkpoint.root))
    return written(signer, PROOF.inclusion, [checkpoint.size, index, path], checkpoint.root, keyId)
  })
}

/** The receipt that the tree (size, root) continues the tree (old, oldRoot). Refuses `log.consistency` or `crypto.algorithm`. */
export function consistencyReceipt(p: Primitives, from: { readonly old: number; readonly oldRoot: Uint8Array }, to: { readonly size: number; readonly root: Uint8Array }, path: readonly Uint8Array[], signer: Signer, keyId?: Uint8Array): Result<Uint8Array> {
  return attempt(() => {
    orRefuse(verifyConsistency(p, from.old, from.oldRoot, to.size, to.root, path))
    if (from.old === 0) refuse('log.consistency', 'old', 'a tree with an entry', 'the empty one, which every tree continues')
    return written(signer, PROOF.consistency, [from.old, to.size, path], to.root, keyId)
  })
}

function written(signer: Signer, type: number, proof: Writable, root: Uint8Array, keyId: Uint8Array | undefined): Uint8Array {
  const algorithm = ALGORITHMS[signer.algorithm] ?? refuse('crypto.algorithm', 'receipt.signer', Object.keys(ALGORITHMS).join(', '), signer.algorithm)
  const header = new Map<Writable, Writable>([[HEADER.algorithm, coseAlgorithmNumber(algorithm)], ...(keyId === undefined ? [] : [[HEADER.keyId, keyId] as const]), [LABEL.structure, RFC9162_SHA256]])
  return writeSign1({ protected: header, unprotected: new Map([[LABEL.proofs, new Map([[type, [writeCbor(proof)]]])]]), payload: root, detached: true, tagged: true }, message => signer.sign(message))
}

/** The root of a tree that holds this entry, by the word of this key. Refuses `log.inclusion`, `log.signature`, `cose.header`, `crypto.algorithm`, `cbor.*` or `bytes.*`. */
export function verifyInclusionReceipt(p: Primitives, receipt: Uint8Array, entry: Uint8Array, key: PublicKey): Result<{ readonly root: Uint8Array }> {
  return attempt(() => {
    const { numbers: [size, index], path, ...read } = readReceipt(receipt, PROOF.inclusion)
    return signed(p, read, inclusionRoot(p, leafHash(p, entry), index, size, path), key)
  })
}

/** The root of a tree that continues the tree (old, oldRoot), by the word of this key. Refuses `log.consistency` and what `verifyInclusionReceipt` refuses with. */
export function verifyConsistencyReceipt(p: Primitives, receipt: Uint8Array, known: { readonly old: number; readonly oldRoot: Uint8Array }, key: PublicKey): Result<{ readonly root: Uint8Array }> {
  return attempt(() => {
    const { numbers: [old, size], path, ...read } = readReceipt(receipt, PROOF.consistency)
    if (old !== known.old) refuse('log.consistency', 'receipt.tree-size-1', String(known.old), String(old))
    return signed(p, read, consistencyRoot(p, old, known.oldRoot, size, path), key)
  })
}

function signed(p: Primitives, { sign1, attached }: Read, root: Uint8Array, key: PublicKey): { readonly root: Uint8Array } {
  if (attached !== undefined && !equal(attached, root)) refuse('log.signature', 'receipt.payload', 'no payload, or the root that the proof leads to', 'another')
  if (!verifySign1(p, { ...sign1, payload: root }, key)) refuse('log.signature', 'receipt', 'a signature of the root that the proof leads to', 'one that does not hold')
  return { root }
}

interface Read { readonly sign1: CoseSign1; readonly attached: Uint8Array | undefined }

/** A receipt with one proof of this type, whatever else its headers say: what is not protected decides nothing by itself. */
function readReceipt(bytes: Uint8Array, type: number): Read & { readonly numbers: readonly [number, number]; readonly path: readonly Uint8Array[] } {
  const at = 'receipt'
  const form: Sign1Options = { at, tag: 'required', criticalKnown: [LABEL.structure], cbor: { limits: RECEIPT_LIMITS } }
  const apart = attempt(() => readSign1(bytes, { ...form, detached: NOTHING }))
  const sign1 = apart.ok ? apart.value : readSign1(bytes, form)
  const structure = sign1.protected.get(LABEL.structure)
  if (structure?.kind !== 'int' || structure.value !== RFC9162_SHA256) refuse('cose.header', `${at}.vds`, `${RFC9162_SHA256} (RFC9162_SHA256) in the protected header`, structure?.kind === 'int' ? String(structure.value) : 'none')
  const proofs = cborFields(sign1.unprotected.get(LABEL.proofs), `${at}.vdp`)
  if (proofs.size !== 1) refuse('cose.header', `${at}.vdp`, 'one type of proof', String(proofs.size))
  const [proof] = cborArray(proofs.get(type), `${at}.vdp.${type}`, 1, 1)
  const [first, second, path] = cborArray(readCbor(cborBytes(proof, `${at}.proof`), { at: `${at}.proof`, limits: RECEIPT_LIMITS }), `${at}.proof`, 3, 3)
  return { sign1, attached: apart.ok ? undefined : sign1.payload, numbers: [cborInt(first, `${at}.proof`, 0), cborInt(second, `${at}.proof`, 0)], path: cborArray(path, `${at}.path`, 0, PROOF_MAX).map(hash => cborBytes(hash, `${at}.path`, 32, 32)) }
}
