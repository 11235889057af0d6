/** A writer for the tests that kill: it counts in the store of its connection file, two rows a time, and says what was acknowledged. */
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { attemptAsync, Refused } from '@cloister/core/refusal'
import { readConnection } from './connection.ts'
import { openPostgresStore } from './postgres.ts'

const [file = '', name = '', who = ''] = process.argv.slice(2)
// The server may be away while we begin.
const open = (): ReturnType<typeof openPostgresStore> => openPostgresStore({ connection: readConnection(file), name, key: new Uint8Array(32).fill(7) }).catch((error: unknown) => (error instanceof Refused && error.refusal.code === 'store.unavailable' ? open() : Promise.reject(error)))
const store = await open()
for (let n = 0; ;) {
  const result = await attemptAsync(async () => {
    const at = await store.version()
    const count = await store.get('a/count')
    return store.write({ at, put: [{ key: 'a/count', value: utf8(String(Number(count === undefined ? 0 : fromUtf8(count)) + 1)) }, { key: `b/${who}-${n}`, value: utf8(String(at)) }] })
  })
  if (result.ok && !result.value.moved) process.stdout.write(`${who}-${n++}\n`)
  else if (!result.ok && result.refusal.code !== 'store.unavailable') process.stdout.write(`refused ${JSON.stringify(result.refusal)}\n`)
  // Whether a write that was not answered stands is unknown: the next has another name.
  else if (!result.ok) n++
}
