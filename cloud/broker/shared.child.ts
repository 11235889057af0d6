/** One of several broker processes on one PostgreSQL: on its own chip, with its own vault. It releases until the budget is spent, and says what left. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Refused } from '@cloister/core/refusal'
import { openIdentity } from './identity.ts'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { openWitness } from '../ledger/witness.ts'
import { readConnection } from '../store/connection.ts'
import { openPostgresStore } from '../store/postgres.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { machineOn, newWorld, run } from './world.fixture.ts'

const [connection = '', name = '', witnessPath = '', vaultPath = '', chip = '', uses = ''] = process.argv.slice(2)
const world = newWorld({ uses: Number(uses), seed: 'shared' })
const machine = machineOn(Number(chip))
const vault = openSqliteStore({ path: vaultPath, key: machine.sealingKey() })
const { key, sharedKey } = await openIdentity(p, vault, machine.sealingKey(), nodeRandom)
const witness = openWitness(p, 'witness.test', generateSigner('ed25519', new Uint8Array(32).fill(4)), openSqliteStore({ path: witnessPath, key: new Uint8Array(32) }))
// The server may be away while we begin.
const open = (): ReturnType<typeof world.open> => opened().catch((error: unknown) => (error instanceof Refused && error.refusal.code === 'store.unavailable' ? open() : Promise.reject(error)))
const opened = async () => world.open({ store: await openPostgresStore({ connection: readConnection(connection), name, key: sharedKey }), vault, machine, random: nodeRandom, ledger: { origin: 'log.test', witnesses: [witness], quorum: 1 } })
const broker = await open()
process.stdout.write(`broker ${key}\n`)
for (;;) {
  const result = await run(world, broker)
  if (result.ok) process.stdout.write(`released ${Buffer.from(String(result.value.answer['receipt'])).toString('base64')}\n`)
  else if (result.refusal.code === 'store.unavailable') await sleep(20)
  // Another was first too often, or the others' entries were not witnessed yet: the guest asks again.
  else if (result.refusal.code !== 'store.locked' && result.refusal.code !== 'log.unavailable') {
    process.stdout.write(`${result.refusal.code === 'budget.spent' ? result.refusal.code : JSON.stringify(result.refusal)}\n`)
    break
  }
}
process.exit(0)
