// The architecture test: the rules over the whole tree, and each rule failing on a planted violation.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { complaints, CLOUD_ROOMS, CORE_ROOMS, cycles, isTest, type Source } from './rules.ts'

const root = join(import.meta.dirname, '..')
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).split('\n').filter(path => path !== '' && existsSync(join(root, path)))
const sources: Source[] = tracked.filter(path => path.endsWith('.ts') && !path.endsWith('.d.ts')).map(path => ({ path, text: readFileSync(join(root, path), 'utf8') }))

test('the tree keeps the rules', () => {
  assert.ok(sources.length > 100, `only ${sources.length} files seen: a check that sees nothing checks nothing`)
  for (const room of Object.keys(CORE_ROOMS)) assert.ok(sources.some(source => source.path.startsWith(`core/${room}/`)), `no file of core/${room} seen`)
  for (const room of Object.keys(CLOUD_ROOMS)) assert.ok(sources.some(source => source.path.startsWith(`cloud/${room}/`)), `no file of cloud/${room} seen`)
  assert.deepEqual(sources.flatMap(complaints), [])
})

test('no cycles between files', () => assert.deepEqual(cycles(sources.filter(source => !isTest(source.path))).map(cycle => cycle.join(' → ')), []))

const HEAD = '/** What it is. */\n'
const PLANTED: [string, string, string, RegExp][] = [
  ['core imports cloud', 'core/log/x.ts', "import { a } from '../../cloud/crypto/node.ts'", /core may not import cloud/],
  ['core imports cloud by name', 'core/log/x.ts', "import { a } from 'cloister/crypto/node'", /core may not import cloud/],
  ['a test of core imports cloud', 'core/log/x.test.ts', "import { a } from '../../cloud/crypto/node.ts'", /core may not import cloud/],
  ['bytes imports crypto', 'core/bytes/x.ts', "import { a } from '../crypto/keys.ts'", /core\/bytes may not import core\/crypto/],
  ['crypto imports evidence, in a type', 'core/crypto/x.ts', "export type A = import('../evidence/index.ts').B", /core\/crypto may not import core\/evidence/],
  ['log re-exports receipt', 'core/log/x.ts', "export { a } from '../receipt/receipt.ts'", /core\/log may not import core\/receipt/],
  ['guest imports broker', 'cloud/guest/x.ts', "import { a } from '../broker/broker.ts'", /cloud\/guest may not import cloud\/broker/],
  ['guest imports broker, dynamically', 'cloud/guest/x.ts', "await import('../broker/broker.ts')", /cloud\/guest may not import cloud\/broker/],
  ['cloud imports sim', 'cloud/broker/x.ts', "import { a } from '../../sim/world.ts'", /nobody imports sim/],
  ['an unknown room', 'cloud/attic/x.ts', "import { a } from '../broker/broker.ts'", /unknown room/],
  ['node in core', 'core/log/x.ts', "import { readFileSync } from 'node:fs'", /core is pure/],
  ['a clock', 'core/log/x.ts', 'export const a = Date.now()', /Date\.now/], ['a clock by new', 'core/log/x.ts', 'export const a = new Date()', /new Date/],
  ['a clock by destructuring', 'core/log/x.ts', 'const { now } = Date', /= Date/], ['randomness', 'core/log/x.ts', 'export const a = crypto.getRandomValues(b)', /crypto/],
  ['environment', 'core/log/x.ts', 'export const a = process.env', /process/], ['network', 'core/log/x.ts', "await fetch('x')", /fetch/], ['a timer', 'core/log/x.ts', 'setTimeout(a, 1)', /setTimeout/],
  ['any', 'cloud/store/x.ts', 'export const a: any = 1', /no any/], ['a focused test', 'core/log/x.test.ts', "test.only('a', () => {})", /focused/],
  ['dynamic code', 'cloud/store/x.ts', `export const a = ${'ev'}al('1')`, /dynamic code/], ['a promise', 'cloud/store/x.ts', `// ${'TO'}DO later`, /promise/], ['a machine path', 'cloud/store/x.ts', `const a = '/${'wo'}rk/x'`, /one machine/],
  ['TLS off', 'cloud/store/x.ts', `const a = { reject${'Unauthorized'}: false }`, /TLS/], ['a file that does not parse', 'core/log/x.ts', 'const = 1', /does not parse/],
]
for (const [name, path, text, complaint] of PLANTED) test(`planted: ${name}`, () => assert.match(complaints({ path, text: HEAD + text }).join('\n'), complaint))
test('planted: no opening comment', () => assert.match(complaints({ path: 'core/log/x.ts', text: 'export const a = 1' }).join('\n'), /opening|open with/))
test('planted: a cycle', () => assert.equal(cycles([{ path: 'core/log/a.ts', text: "import './b.ts'" }, { path: 'core/log/b.ts', text: "import './a.ts'" }]).length, 1))

test('links in documents lead somewhere, and no file is too large', () => {
  for (const path of tracked.filter(one => one.endsWith('.md'))) {
    for (const [, link = ''] of readFileSync(join(root, path), 'utf8').matchAll(/\]\(([^)#]+)\)/g)) {
      if (!/^[a-z]+:/.test(link)) assert.ok(existsSync(join(root, dirname(path), link)), `${path} links to ${link}`)
    }
  }
  for (const path of tracked) assert.ok(statSync(join(root, path)).size < 1 << 20, `${path} is over 1 MiB`)
})
