/** A broker process for the kill -9 test: opens the store it is given, releases for ever, and says so only afterwards. */
import { generateSigner, nodePrimitives } from '../crypto/node.ts'
import { openWitness } from '../ledger/witness.ts'
import { openSqliteStore } from '../store/sqlite.ts'
import { newWorld, ready, run, seeded } from './world.fixture.ts'

const [path = '', witnessPath = '', seed = ''] = process.argv.slice(2)
const world = newWorld({ uses: 1_000_000, seed: 'crash' })
const witness = openSqliteStore({ path: witnessPath, key: new Uint8Array(32) })
const store = openSqliteStore({ path, key: world.storeKey })
const broker = await world.open({ store, random: seeded(`child ${seed}`), ledger: { origin: 'log.test', witnesses: [openWitness(nodePrimitives, 'witness.test', generateSigner('ed25519', new Uint8Array(32).fill(4)), witness)], quorum: 1 } })
if (await store.get('broker/clock') === undefined) await ready(world, broker)
process.stdout.write('ready\n')
for (;;) {
  const result = await run(world, broker)
  if (!result.ok) {
    process.stdout.write(`refused ${result.refusal.code}\n`)
    break
  }
  // The acknowledgement: the receipt whose key has left.
  process.stdout.write(`released ${Buffer.from(String(result.value.answer['receipt'])).toString('base64')}\n`)
}
