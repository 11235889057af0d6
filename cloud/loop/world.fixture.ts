// What the loop's tests stand on: a log with a witness, machines (a software TPM and the simulated chip), a disk that can be
// set back, and a way between them that anybody may stand in.
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { concat, framed } from '@cloister/core/bytes/bytes'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { formatKey, spkiToKey } from '@cloister/core/crypto/keys'
import type { Signer } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import type { SimulatedChip } from '@cloister/core/evidence/simulated/chip'
import { readPublicArea } from '@cloister/core/evidence/tpm/structures'
import { checkpointText } from '@cloister/core/log/checkpoint'
import { cosignNote, COSIGNATURE, ED25519, formatNote, noteKey, signNote } from '@cloister/core/log/note'
import { flatPolicy, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { inclusionProof, leafHash, nodeHash, rootAt, type HashAt } from '@cloister/core/log/tree'
import type { Trust } from '@cloister/core/loop/chain'
import type { Requirement } from '@cloister/core/loop/documents'
import type { Demands, Plan } from '@cloister/core/loop/orchestrate'
import { stateOf } from '@cloister/core/loop/state'
import { refuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import type { Hardware, Holds } from './node.ts'
import type { ReadableLog } from './log.ts'

export const NOW = 1_800_000_000
export const ORIGIN = 'loop.test'
const raw = (signer: Signer) => (signer.publicKey.kind === 'ed25519' ? signer.publicKey.raw : assert.fail())

/** A log of few entries under a clock. */
export function testLog(now: () => number): ReadableLog & { readonly policy: LogPolicy; readonly entries: Uint8Array[] } {
  const [logger, witness] = [generateSigner('ed25519'), generateSigner('ed25519')]
  const entries: Uint8Array[] = []
  const hashes = new Map<string, Uint8Array>()
  const hashAt: HashAt = (level, at) => {
    const key = `${level}/${at}`
    const known = hashes.get(key) ?? (level === 0 ? leafHash(p, entries[at] ?? assert.fail()) : nodeHash(p, hashAt(level - 1, 2 * at), hashAt(level - 1, 2 * at + 1)))
    hashes.set(key, known)
    return known
  }
  let shown = { size: 0, time: 0, text: '' }
  const checkpoint = () => {
    if (shown.size !== entries.length || shown.time !== now()) {
      const note = signNote(p, { text: checkpointText(ORIGIN, entries.length, rootAt(p, entries.length, hashAt)), signatures: [] }, ORIGIN, logger)
      shown = { size: entries.length, time: now(), text: formatNote(cosignNote(p, note, 'w.test', witness, now())) }
    }
    return shown.text
  }
  const prove = async (index: number) => formatProof({ index, path: inclusionProof(p, index, entries.length, hashAt), checkpoint: checkpoint() })
  return {
    entries, policy: flatPolicy([noteKey(p, ORIGIN, ED25519, raw(logger)).vkey], [noteKey(p, 'w.test', COSIGNATURE, raw(witness)).vkey], 1),
    size: async () => entries.length, entry: async index => entries[index] ?? assert.fail(), prove,
    append: async entry => { entries.push(entry); return { index: entries.length - 1, proof: await prove(entries.length - 1) } },
  }
}

const be = (value: number, bytes: number) => new Uint8Array(Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256))
const tpm2b = (bytes: Uint8Array) => concat(be(bytes.length, 2), bytes)
export const ZERO = '00'.repeat(32)
export const FIRMWARE = '11'.repeat(32)
export const KERNEL = '22'.repeat(32)

/** A TPM in software: PCR 0 and 11 name the boot, 13 is the loop's, the lock survives boots. Its fuses seal secrets. */
export interface SoftTpm extends Hardware { readonly akName: string; boot(kernel?: string): void; snapshot(): () => void }
export function softTpm(locks = true): SoftTpm {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = spkiToKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })))
  const point = key.kind === 'rsa' ? assert.fail() : key.raw
  const area = concat(be(0x23, 2), be(11, 2), be(0x00050072, 4), tpm2b(new Uint8Array()), be(0x10, 2), be(0x18, 2), be(11, 2), be(3, 2), be(0x10, 2), tpm2b(point.subarray(1, 33)), tpm2b(point.subarray(33)))
  const fuses = nodeRandom(32)
  let [pcrs, lock]: [Record<string, string>, string] = [{ '0': FIRMWARE, '11': KERNEL, '13': ZERO }, ZERO]
  const extend = (value: string, digest: Uint8Array) => toHex(p.hash('sha256', concat(fromHex(value), digest)))
  const keyFor = ({ register = '', lock: locked = '' }: Holds) => p.hash('sha256', framed('fuses', fuses, utf8(register), utf8(locked)))
  return {
    kind: 'tpm', akName: readPublicArea(p, area).name,
    attest: async binding => {
      const indexes = Object.keys(pcrs).map(Number).toSorted((a, b) => a - b)
      const bits = new Uint8Array(3)
      for (const index of indexes) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7))
      const digest = p.hash('sha256', concat(...indexes.map(index => fromHex(pcrs[index] ?? ''))))
      const message = concat(be(0xff544347, 4), be(0x8018, 2), tpm2b(new Uint8Array([0, 11, ...new Uint8Array(32)])), tpm2b(binding), be(5, 8), be(2, 4), be(1, 4), new Uint8Array([1]), be(1, 8), be(1, 4), be(11, 2), new Uint8Array([3]), bits, tpm2b(digest))
      const signature = new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
      const trimmed = (part: Uint8Array) => tpm2b(part.subarray(Math.max(0, part.findIndex(byte => byte !== 0))))
      return { kind: 'tpm', message: toBase64(message), signature: toBase64(concat(be(0x18, 2), be(11, 2), trimmed(signature.subarray(0, 32)), trimmed(signature.subarray(32)))), ak: toBase64(area), pcrs: { sha256: { ...pcrs } } }
    },
    register: { read: async () => pcrs['13'] ?? '', extend: async digest => { pcrs = { ...pcrs, '13': extend(pcrs['13'] ?? '', digest) } } },
    ...(locks ? { lock: { read: async () => lock, extend: async (digest: Uint8Array) => { lock = extend(lock, digest) } } } : {}),
    keep: async (secret, holds) => gcmSeal(keyFor(holds), secret),
    open: async kept => gcmOpen(keyFor({ register: pcrs['13'] ?? '', ...(locks ? { lock } : {}) }), kept),
    boot: (kernel = KERNEL) => { pcrs = { '0': FIRMWARE, '11': kernel, '13': ZERO } },
    snapshot: () => {
      const [then, locked] = [pcrs, lock]
      return () => { [pcrs, lock] = [then, locked] }
    },
  }
}

/** A node on the simulated chip: no register; its secrets are sealed to chip and measurement. */
export function chipHardware(chip: SimulatedChip, measurement: Uint8Array): Hardware {
  const key = chip.sealingKey(measurement)
  return { kind: 'simulated', attest: async (binding): Promise<Evidence> => chip.report({ measurement, hostData: new Uint8Array(32) }, binding), keep: async secret => gcmSeal(key, secret), open: async kept => gcmOpen(key, kept) }
}

function gcmSeal(key: Uint8Array, secret: Uint8Array): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  return toBase64(concat(nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()))
}
function gcmOpen(key: Uint8Array, kept: string): Uint8Array {
  const bytes = fromBase64(kept)
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
  decipher.setAuthTag(bytes.subarray(-16))
  try {
    return new Uint8Array(concat(decipher.update(bytes.subarray(12, -16)), decipher.final()))
  } catch {
    return refuse('seal.open', 'kept', 'a secret of this machine in this state', 'one that does not open')
  }
}

export const REQUIRES: Requirement = {
  appraisal: { tee: ['tpm', 'simulated'], tcb: 'any', distrust: {}, measurements: [{ tee: 'tpm', hex: FIRMWARE, name: 'image 7', registers: { PCR11: KERNEL } }, { tee: 'simulated', hex: '44'.repeat(48), name: 'guest' }] },
  facts: { kernel: ['6.12.95'] },
}
export const hostState = () => stateOf({ kernel: '6.12.95', os: 'debian 12' })

export function trustOf(log: LogPolicy, node: Signer, authority: Signer, register: boolean): Trust {
  return { log, node: formatKey(node.publicKey), authority: [{ keys: [formatKey(authority.publicKey)] }], ...(register ? { register: { name: 'PCR13', boot: ZERO } } : {}) }
}
export function demandsOf(trust: Trust, aks: readonly string[]): Demands {
  return { trust, requires: REQUIRES, evidence: { aks }, reportAgeMax: 300, challengeKey: new Uint8Array(32).fill(7) }
}
/** Every configuration brings another file, so that what is active can be told. */
export function planAt(now: number, content: string): Plan {
  return { payload: { services: ['web.service'], files: [{ path: '/etc/web.conf', content: utf8(content) }] }, requires: REQUIRES, validFrom: now - 30, validUntil: now + 600 }
}
