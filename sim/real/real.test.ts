// Real processes under real faults (attacks.md 3.1, rows 110-113 and 118): killed witnesses, a disk that fills, an fsync
// that fails, a network that is cut in two, a clock that is wrong. What needs rights that are not here is skipped.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { agrees, began, can, commandOf, folderFor, freePort, kept, Running } from './processes.fixture.ts'

const KILLS = 5

test('kill -9 of the witness, again and again: nothing is released while it is away, nothing acknowledged is lost', async context => {
  const folder = folderFor(context)
  const [db, port, start] = [join(folder, 'broker.db'), await freePort(), began()]
  const broker = new Running(context, { role: 'broker', db, witness: `http://127.0.0.1:${port}`, began: start })
  const log = (await broker.until('log ')).slice('log '.length)
  for (let round = 0; round < KILLS; round++) {
    const from = broker.lines.length
    const witness = new Running(context, { role: 'witness', db: join(folder, 'witness.db'), log, port, began: start })
    await broker.until('released ', from)
    await witness.kill()
    const gone = broker.lines.length
    await broker.until('refused ', gone)
    const after = broker.lines.length
    await broker.until('refused ', after)
    assert.deepEqual(broker.lines.slice(after).filter(line => line.startsWith('released ')), [], 'a key left without a witness')
  }
  await broker.kill()
  assert.deepEqual(broker.refused(), ['log.unavailable'])
  kept(db, broker.released())
})

test('a broker whose disk fills up (tmpfs) refuses, and loses nothing', { skip: !can('unshare', '-m', 'true') && 'no right to mount' }, async context => {
  const folder = folderFor(context)
  const [port, start] = [await freePort(), began()]
  const db = join(folder, 'small', 'broker.db')
  const quote = (words: readonly string[]) => words.map(word => `'${word}'`).join(' ')
  // The mount lives and dies with the namespace: the broker runs in it until it is full, then its file is looked at there.
  const script = `mkdir ${quote([join(folder, 'small')])} && mount -t tmpfs -o size=700k tmpfs ${quote([join(folder, 'small')])} || exit 9
    ${quote(commandOf({ role: 'broker', db, witness: `http://127.0.0.1:${port}`, began: start, endsAt: 'store.full' }))}
    echo full; ${quote(commandOf({ role: 'look', db }))}`
  const broker = new Running(context, { role: 'look', db: '' }, ['unshare', '-m', 'sh', '-c', script])
  const log = (await broker.until('log ')).slice('log '.length)
  new Running(context, { role: 'witness', db: join(folder, 'witness.db'), log, port, began: start })
  await broker.until('full')
  await broker.ended()
  const full = broker.lines.indexOf('full')
  const [before, looked] = [broker.lines.slice(0, full), broker.lines.slice(full + 1)]
  assert.ok(before.some(line => line.startsWith('refused store.full')), before.slice(-2).join('\n').slice(0, 400))
  assert.ok(before.filter(line => line.startsWith('released ')).length > 0)
  agrees(looked.join('\n'), before.filter(line => line.startsWith('released ')))
})

test('an fsync that fails stops the store; opened again it holds what was acknowledged', { skip: !can('strace', '-f', '-o', '/dev/null', 'true') && 'no right to trace' }, async context => {
  const folder = folderFor(context)
  const [db, port, start] = [join(folder, 'broker.db'), await freePort(), began()]
  const told = { role: 'broker', db, witness: `http://127.0.0.1:${port}`, began: start } as const
  const broker = new Running(context, { ...told, endsAt: 'store.corrupt' }, ['strace', '-f', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:error=EIO:when=30+'])
  const log = (await broker.until('log ')).slice('log '.length)
  new Running(context, { role: 'witness', db: join(folder, 'witness.db'), log, port, began: start })
  await broker.ended()
  const failed = broker.lines.findIndex(line => line.startsWith('refused store'))
  assert.deepEqual(broker.lines.slice(failed).filter(line => line.startsWith('released ')), [], 'a key left after the disk had failed')
  const acknowledged = broker.released()
  assert.ok(acknowledged.length > 0)
  const again = new Running(context, told)
  await again.until('released ')
  await again.kill()
  kept(db, [...acknowledged, ...again.released()])
})

test('a network cut in two: the broker refuses until it is whole again', { skip: !(can('unshare', '-n', 'true') && can('ip', 'link')) && 'no right to make network namespaces' }, async context => {
  const folder = folderFor(context)
  const [db, start] = [join(folder, 'broker.db'), began()]
  const name = `cloister-${process.pid}`
  const ip = (...args: string[]) => { const done = spawnSync('ip', args, { encoding: 'utf8' }); assert.equal(done.status, 0, done.stderr) }
  context.after(() => { for (const side of ['a', 'b']) spawnSync('ip', ['netns', 'del', `${name}-${side}`]) })
  for (const side of ['a', 'b']) ip('netns', 'add', `${name}-${side}`)
  ip('link', 'add', 'va', 'netns', `${name}-a`, 'type', 'veth', 'peer', 'name', 'vb', 'netns', `${name}-b`)
  for (const [side, address] of [['a', '10.9.0.1/24'], ['b', '10.9.0.2/24']] as const) {
    ip('-n', `${name}-${side}`, 'addr', 'add', address, 'dev', `v${side}`)
    ip('-n', `${name}-${side}`, 'link', 'set', `v${side}`, 'up')
  }
  const broker = new Running(context, { role: 'broker', db, witness: 'http://10.9.0.2:7001', began: start }, ['ip', 'netns', 'exec', `${name}-a`])
  const log = (await broker.until('log ')).slice('log '.length)
  new Running(context, { role: 'witness', db: join(folder, 'witness.db'), log, port: 7001, hostname: '10.9.0.2', began: start }, ['ip', 'netns', 'exec', `${name}-b`])
  for (let round = 0; round < 2; round++) {
    await broker.until('released ', broker.lines.length)
    ip('-n', `${name}-b`, 'link', 'set', 'vb', 'down')
    await broker.until('refused log.unavailable', broker.lines.length)
    const cut = broker.lines.length
    await broker.until('refused log.unavailable', cut)
    assert.deepEqual(broker.lines.slice(cut).filter(line => line.startsWith('released ')), [], 'a key left while the witness could not be reached')
    ip('-n', `${name}-b`, 'link', 'set', 'vb', 'up')
  }
  await broker.until('released ', broker.lines.length)
  await broker.kill()
  kept(db, broker.released())
})

test('a clock that is wrong, either way: no keys until it is right', async context => {
  const folder = folderFor(context)
  const [db, port, start] = [join(folder, 'broker.db'), await freePort(), began()]
  const told = { role: 'broker', db, witness: `http://127.0.0.1:${port}`, began: start } as const
  const first = new Running(context, told)
  const log = (await first.until('log ')).slice('log '.length)
  new Running(context, { role: 'witness', db: join(folder, 'witness.db'), log, port, began: start })
  await first.until('released ')
  await first.kill()
  const shifts: readonly [string, { readonly offset?: number }, readonly string[]][] = [['a day behind', { offset: -86_400 }, []], ['a day ahead', { offset: 86_400 }, []]]
  const faked: typeof shifts = can('faketime', '-f', '+1d', 'true') ? [['a day ahead, by the library', {}, ['faketime', '-f', '+1d']]] : []
  for (const [what, shift, before] of [...shifts, ...faked]) {
    const wrong = new Running(context, { ...told, ...shift }, before)
    await wrong.until('refused head.stale')
    await wrong.kill()
    assert.deepEqual(wrong.released(), [], what)
  }
  const last = new Running(context, told)
  await last.until('released ')
  await last.kill()
  kept(db, [...first.released(), ...last.released()])
})
