/**
 * One real process: a broker that releases for ever to guests of its own, on a SQLite file and a witness over HTTP; or that
 * witness; or somebody who looks at what a broker left behind. It says what happened line by line, only after it happened.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Hono } from 'hono'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { COSIGNATURE, noteKey } from '@cloister/core/log/note'
import { parseReceipt } from '@cloister/core/receipt/receipt'
import { attemptAsync, orRefuse, type Refusal, type Result } from '@cloister/core/refusal'
import { entriesOf, found, newWorld, put, run, seeded, START } from '../../cloud/broker/world.fixture.ts'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { serveApp, witnessFace } from '../../cloud/ledger/http.ts'
import { openWitness, remoteWitness } from '../../cloud/ledger/witness.ts'
import { openSqliteStore } from '../../cloud/store/sqlite.ts'

/** What a process is told, as JSON in its only argument. */
export type Told =
  /** `endsAt`: the refusal at whose second coming it ends. */
  | { readonly role: 'broker'; readonly db: string; readonly witness: string; readonly began: number; readonly offset?: number; readonly endsAt?: string }
  | { readonly role: 'witness'; readonly db: string; readonly log: string; readonly port: number; readonly hostname?: string; readonly began: number }
  | { readonly role: 'look'; readonly db: string }

const KEY = new Uint8Array(32)
const signer = generateSigner('ed25519', new Uint8Array(32).fill(4))
const vkey = noteKey(p, 'witness.test', COSIGNATURE, signer.publicKey.kind === 'rsa' ? KEY : signer.publicKey.raw).vkey
const world = newWorld({ uses: 1_000_000, seed: 'real', head: '1m' })
const say = (line: string) => process.stdout.write(`${line}\n`)
/** The clock of the simulated chip's certificates, going as fast as the machine's. */
const clockFrom = (began: number, offset = 0) => () => START + Math.floor(Date.now() / 1000) - began + offset

const told = JSON.parse(process.argv[2] ?? '') as Told // written by the tests beside this file
if (told.role === 'broker') await broker(told)
else if (told.role === 'witness') await witness(told)
else await look(told.db)

async function broker({ db, witness: url, began, offset, endsAt }: Extract<Told, { role: 'broker' }>): Promise<void> {
  const clock = clockFrom(began, offset)
  const opened = await attemptAsync(() => world.open({
    store: openSqliteStore({ path: db, key: world.storeKey }), clock, random: seeded(`real ${process.pid} ${Date.now()}`),
    ledger: { origin: 'log.test', witnesses: [remoteWitness(p, { vkey, url, timeoutMs: 500 })], quorum: 1 },
  }))
  if (!opened.ok) return void say(`refused ${opened.refusal.code} ${opened.refusal.at}`)
  const gate = opened.value
  say(`log ${gate.ledger.policy.logs.map(one => one.vkey).join(',')}`)
  let times = 0
  const refused = async ({ code, got }: Refusal) => {
    say(`refused ${code} ${got.slice(0, 200)}`)
    if (code === endsAt) times++
    await wait(20)
  }
  const until = async (step: () => Promise<Result<unknown>>) => {
    while (times < 2) {
      const done = await step()
      if (done.ok || done.refusal.code === 'asset.key-missing') return
      await refused(done.refusal)
    }
  }
  await until(() => found(world, gate))
  for (const asset of ['a-claims', 'b-claims']) await until(() => put(world, gate, asset))
  while (times < 2) {
    const result = await run(world, gate)
    if (result.ok) say(`released ${Buffer.from(String(result.value.answer['receipt'])).toString('base64')}`)
    else await refused(result.refusal)
  }
}

async function witness({ db, log, port, hostname, began }: Extract<Told, { role: 'witness' }>): Promise<void> {
  const app = new Hono()
  witnessFace(app, '', openWitness(p, 'witness.test', signer, openSqliteStore({ path: db, key: KEY })), log.split(',').map(one => ({ vkey: one })), clockFrom(began))
  await serveApp(app, { port, ...(hostname === undefined ? {} : { hostname }) })
  say('listening')
}

/** What the file says: every released receipt, and how often the budget was debited. */
async function look(db: string): Promise<void> {
  const store = openSqliteStore({ path: db, key: world.storeKey })
  const entries = await entriesOf(world, store, { ledger: { origin: 'log.test', witnesses: [remoteWitness(p, { vkey, url: 'http://127.0.0.1:9' })], quorum: 1 } })
  for (const entry of entries) if (orRefuse(parseReceipt(entry)).verb === 'released') say(`released ${Buffer.from(entry).toString('base64')}`)
  for (const { value } of await store.list({ prefix: 'broker/budget/' })) say(`spent ${(JSON.parse(fromUtf8(value)) as { uses: number }).uses}`) // written by release.ts
  await store.close()
}

