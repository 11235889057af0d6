/** How the vectors of broker, store and their log run: the pure machine on a small state, stores in memory or on a temporary disk. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fromHex } from '@cloister/core/bytes/hex'
import { parseJsonObject } from '@cloister/core/bytes/json'
import { signAct } from '@cloister/core/charter/acts'
import { charterDigest } from '@cloister/core/charter/canonical'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Hash } from '@cloister/core/charter/types'
import { formatKey } from '@cloister/core/crypto/keys'
import { attempt, attemptAsync, orRefuse, type Result } from '@cloister/core/refusal'
import { putSubject } from '@cloister/core/seal/shares'
import { step } from '../../cloud/broker/machine.ts'
import type { Challenge, ReleaseRequest, Rules } from '../../cloud/broker/events.ts'
import { QUOTAS } from '../../cloud/broker/quotas.ts'
import { checkBackup, type RecoverRequest } from '../../cloud/broker/recovery.ts'
import { releaseRequest } from '../../cloud/broker/requests.ts'
import { keys, stateOf } from '../../cloud/broker/state.ts'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { openLedger } from '../../cloud/ledger/ledger.ts'
import { emptyDisk, openMemoryStore } from '../../cloud/store/memory.ts'
import { openPostgresStore } from '../../cloud/store/postgres.ts'
import { openSqliteStore } from '../../cloud/store/sqlite.ts'

const NOW = 1_800_000_000
const KEY = new Uint8Array(32)
const rules: Rules = { p, references: [], distrust: {}, nonceSeconds: 60 }
const owner = generateSigner('ed25519', new Uint8Array(32).fill(1))

export const verbs: Record<string, (input: unknown) => Result<unknown> | Promise<Result<unknown>>> = {
  /** { body }: what a guest posts to /v1/release. */
  'broker.request': input => attempt(() => releaseRequest(parseJsonObject(field(input, 'body')))),
  /** { age?, used? }: a release whose challenge is of that age in seconds (absent: not ours), used before or not. */
  'broker.challenge': input => {
    const lineage = charterDigest(p, charter())
    const age = optional(input, 'age')
    const challenge: Challenge | undefined = age === undefined ? undefined : { issuedAt: NOW - Number(age), charter: lineage, root: new Uint8Array(32) }
    const request: ReleaseRequest = { charter: lineage, epoch: 1, program: 'app', assets: [{ asset: 'disk', can: 'use' }], nonce: new Uint8Array(32), evidence: { kind: 'snp', report: '', certificates: [] }, guest: { seal: new Uint8Array(1216), sign: '' }, facts: [] }
    const used: [string, unknown][] = optional(input, 'used') === true ? [[keys.used('00'.repeat(32)), { until: NOW }]] : []
    return step(rules, stateOf(new Map([...founded(), ...used])), { kind: 'release', request, challenge, now: NOW, head: HEAD, next: 1 }).reply
  },
  /** { lineage? }: an approval of a proposal that nobody made, in this lineage or in one that the broker does not know. */
  'broker.approve': input => {
    const lineage = charterDigest(p, charter())
    const digest: Hash = `sha256:${'cd'.repeat(32)}`
    const act = signAct(owner, { verb: 'approve', lineage: optional(input, 'lineage') === 'other' ? digest : lineage, digest, epoch: 2, prev: lineage, party: 'me' })
    return step(rules, stateOf(new Map(founded())), { kind: 'act', act, now: NOW, head: HEAD, next: 1 }).reply
  },
  /** { asset, version, digest }: a key that the owner deposits. The charter pins the bytes of `disk` to a…a. */
  'broker.deposit': input => {
    const lineage = charterDigest(p, charter())
    const about = { lineage, asset: field(input, 'asset'), version: Number(optional(input, 'version')), digest: field(input, 'digest') as Hash, sealedDigest: lineage } // compared with the charter before it counts
    const act = signAct(owner, { verb: 'put', lineage, digest: lineage, epoch: 1, party: 'me', subject: putSubject(p, about, about.sealedDigest) })
    return step(rules, stateOf(new Map(founded())), { kind: 'deposit', request: { ...about, atRest: '', acts: [act] }, now: NOW, head: HEAD, next: 1 }).reply
  },
  /** { entriesPerHour }: an owner's deposit in a broker that lets each lineage add so many receipts. */
  'broker.quota': input => {
    const lineage = charterDigest(p, charter())
    const about = { lineage, asset: 'disk', version: 1, digest: `sha256:${'a'.repeat(64)}` as const, sealedDigest: lineage }
    const act = signAct(owner, { verb: 'put', lineage, digest: lineage, epoch: 1, party: 'me', subject: putSubject(p, about, about.sealedDigest) })
    return step({ ...rules, quotas: { ...QUOTAS, entriesPerHour: Number(optional(input, 'entriesPerHour')) } }, stateOf(new Map(founded())), { kind: 'deposit', request: { ...about, atRest: '', acts: [act] }, now: NOW, head: HEAD, next: 1 }).reply
  },
  /** { tag }: a backup whose tag is not under the root that came together. */
  'broker.backup': () => attempt(() => checkBackup(p, KEY, { said: { backup: 1 }, backup: { tag: '' } } as unknown as RecoverRequest)), // the tag is looked at before anything else
  /** { bytes }: a value of that size. */
  'store.put': input => attemptAsync(() => openMemoryStore(emptyDisk(), KEY).write({ at: 0, put: [{ key: 'a/x', value: new Uint8Array(Number(optional(input, 'bytes'))) }] })),
  /** { value }: the bytes (hex) that stand where others were written. */
  'store.read': input => attemptAsync(async () => {
    const disk = emptyDisk()
    const store = openMemoryStore(disk, KEY)
    await store.write({ at: 0, put: [{ key: 'a/x', value: fromHex('00') }] })
    const entry = disk.entries.get('a/x')
    if (entry !== undefined) disk.entries = new Map([['a/x', { ...entry, value: fromHex(field(input, 'value')) }]])
    return store.get('a/x')
  }),
  /** { waitMs }: how long a second writer waits for the first. */
  'store.lock': async input => {
    const folder = mkdtempSync(join(tmpdir(), 'cloister-vector-'))
    const path = join(folder, 'x.db')
    const store = openSqliteStore({ path, key: KEY, waitMs: Number(optional(input, 'waitMs')) })
    const other = new DatabaseSync(path)
    other.exec('BEGIN IMMEDIATE')
    try {
      return await attemptAsync(() => store.write({ at: 0 }))
    } finally {
      other.close()
      await store.close()
      rmSync(folder, { recursive: true })
    }
  },
  /** { waitMs }: how long to wait for a server that is not there. */
  'store.connect': async input => {
    const folder = mkdtempSync(join(tmpdir(), 'cloister-vector-'))
    const connection = { host: folder, port: 5432, dbname: 'x', user: 'x' }
    const opened = await attemptAsync(() => openPostgresStore({ connection, name: 'x', key: KEY, waitMs: Number(optional(input, 'waitMs')) }))
    rmSync(folder, { recursive: true })
    return opened
  },
  /** { index }: the proof of an entry that no witnessed head contains. */
  'broker.prove': async input => (await openLedger({ p, store: openMemoryStore(emptyDisk(), KEY), origin: 'log.test', signers: [owner], witnesses: [], quorum: 0 })).prove(Number(optional(input, 'index'))),
}

const HEAD = { time: NOW, witnesses: 1, size: 1 }

function charter() {
  return orRefuse(parseCharter(JSON.stringify({
    charter: 1, name: 'my-box', epoch: 1, parties: { me: { keys: [formatKey(owner.publicKey)] } },
    programs: { app: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['snp'] } } }, assets: { disk: { owner: 'me', kind: 'disk', digest: `sha256:${'a'.repeat(64)}` } },
    grants: [{ asset: 'disk', to: 'app', can: 'use' }], change: { widen: { of: ['me'], need: 1, notice: '0s' } }, log: { at: 'https://log.test', witnesses: 1, head: '1d' },
  })))
}

function founded(): [string, unknown][] {
  const lineage = charterDigest(p, charter())
  const acts = [signAct(owner, { verb: 'approve', lineage, digest: lineage, epoch: 1, party: 'me' })]
  return step(rules, stateOf(new Map()), { kind: 'found', charter: charter(), acts, root: { sealed: '' }, now: NOW, head: HEAD, next: 0 }).changes.map(({ key, value }) => [key, value])
}

function optional(input: unknown, key: string): unknown {
  return typeof input === 'object' && input !== null && key in input ? Object.entries(input).find(([name]) => name === key)?.[1] : undefined
}

function field(input: unknown, key: string): string {
  const value = optional(input, key)
  if (typeof value !== 'string') throw new TypeError(`the vector has no ${key}`)
  return value
}
