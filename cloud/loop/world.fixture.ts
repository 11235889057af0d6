// What the loop's tests stand on: a log with a witness, machines (a software TPM and the simulated chip), a disk that can be
// set back, and a way between them that anybody may stand in.
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { concat, framed } from '@cloister/core/bytes/bytes'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { formatKey, spkiToKey } from '@cloister/core/crypto/keys'
import type { Signer } from '@cloister/core/crypto/primitives'
import type { Evidence } from '@cloister/core/evidence/claims'
import type { SimulatedChip } from '@cloister/core/evidence/simulated/chip'
import { readPublicArea } from '@cloister/core/evidence/tpm/structures'
import type { LogPolicy } from '@cloister/core/log/policy'
import { tilePath } from '@cloister/core/log/tiles'
import type { Trust } from '@cloister/core/loop/chain'
import type { Requirement } from '@cloister/core/loop/documents'
import type { Demands, Plan } from '@cloister/core/loop/orchestrate'
import { stateOf } from '@cloister/core/loop/state'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { followFrom, proveFrom, type LogClient } from '../ledger/client.ts'
import { openLedger } from '../ledger/ledger.ts'
import { openWitness } from '../ledger/witness.ts'
import { emptyDisk, openMemoryStore } from '../store/memory.ts'
import type { Hardware, Holds } from './node.ts'
import type { ReadableLog } from './log.ts'

export const NOW = 1_800_000_000
export const ORIGIN = 'loop.test'

/** The house's own ledger in memory, read over its tiles as a client reads them; its witness looks at this clock. */
export async function testLog(now: () => number): Promise<ReadableLog & { readonly policy: LogPolicy; entries(): Promise<Uint8Array[]> }> {
  const witness = openWitness(p, 'w.test', generateSigner('ed25519'), openMemoryStore(emptyDisk(), new Uint8Array(32)))
  const ledger = await openLedger({ p, store: openMemoryStore(emptyDisk(), new Uint8Array(32)), origin: ORIGIN, signers: [generateSigner('ed25519')], witnesses: [witness], quorum: 1 })
  const publish = async () => { if (ledger.size() > 0 && (ledger.head()?.time !== now() || ledger.head()?.size !== ledger.size())) orRefuse(await ledger.publish(now())) }
  const file = async (path: string) => (await ledger.file(path))?.bytes ?? assert.fail(path)
  const client: LogClient = {
    url: ORIGIN, checkpoint: async () => fromUtf8(await file('checkpoint')), tile: tile => file(tilePath(tile.level, tile.index, tile.width)),
    add: async entry => {
      const index = await ledger.append([entry])
      await publish()
      return index
    },
  }
  // What every log begins with: one that is empty has no checkpoint to show.
  await client.add(utf8('the first entry'))
  return {
    policy: ledger.policy, add: client.add, prove: index => proveFrom(p, client, ledger.policy, index),
    follow: async known => { await publish(); return followFrom(p, client, ledger.policy, known) },
    entries: async () => Promise.all(Array.from({ length: ledger.size() - 1 }, async (_, i) => await ledger.entry(i + 1) ?? assert.fail())),
  }
}

const be = (value: number, bytes: number) => new Uint8Array(Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256))
const tpm2b = (bytes: Uint8Array) => concat(be(bytes.length, 2), bytes)
export const ZERO = '00'.repeat(32)
export const FIRMWARE = '11'.repeat(32)
export const KERNEL = '22'.repeat(32)
export const NEXT_KERNEL = '23'.repeat(32)

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
  const keyFor = ({ register = '', lock: locked = '' }: Holds) => p.hash('sha256', framed('fuses', fuses, utf8(pcrs['11'] ?? ''), utf8(register), utf8(locked)))
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
  appraisal: { tee: ['tpm', 'simulated'], tcb: 'any', distrust: {}, measurements: [{ tee: 'tpm', hex: FIRMWARE, name: 'image 7', registers: { PCR11: KERNEL } }, { tee: 'tpm', hex: FIRMWARE, name: 'image 8', registers: { PCR11: NEXT_KERNEL } }, { tee: 'simulated', hex: '44'.repeat(48), name: 'guest' }] },
  facts: { kernel: ['6.12.95'] },
}
export const hostState = () => stateOf({ kernel: '6.12.95', os: 'debian 12' })

export function trustOf(log: LogPolicy, node: Signer, authority: Signer, register: boolean): Trust {
  return { log, node: formatKey(node.publicKey), authority: [{ keys: [formatKey(authority.publicKey)] }], headAgeMax: 60, ...(register ? { register: { name: 'PCR13', boot: ZERO } } : {}) }
}
export function demandsOf(trust: Trust, aks: readonly string[]): Demands {
  return { trust, requires: REQUIRES, evidence: { aks }, reportAgeMax: 300, challengeKey: new Uint8Array(32).fill(7) }
}
/** Every configuration brings another file, so that what is active can be told. */
export function planAt(now: number, content: string): Plan {
  return { payload: { services: ['web.service'], files: [{ path: '/etc/web.conf', content: utf8(content) }] }, requires: REQUIRES, validFrom: now - 30, validUntil: now + 600 }
}
