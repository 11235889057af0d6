// The mutator makes the mutants that it names, and the list of equivalent ones names none that does not exist.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { EQUIVALENT } from './equivalent.ts'
import { mutantsOf } from './mutants.ts'
import { roomsOf } from './rooms.ts'

const root = join(import.meta.dirname, '..')
const made = (text: string) => mutantsOf('a.ts', text).map(one => text.slice(0, one.start) + one.replacement + text.slice(one.end))
const cases: [string, string, string[]][] = [
  ['a refusal', "if (a > 1) refuse('x', 'a', 'b', 'c')", ["if (false) refuse('x', 'a', 'b', 'c')", "if (true) refuse('x', 'a', 'b', 'c')", "if (a >= 1) refuse('x', 'a', 'b', 'c')", "if (a > 2) refuse('x', 'a', 'b', 'c')"]],
  ['a refusal behind a value', "const b = a ?? refuse('x')", ['const b = (a)']],
  ['a refusal as a branch', "const b = a ? c : refuse('x')", ['const b = (c)']],
  ['a local function that never returns', "const bad = (): never => refuse('x')\nconst b = a || bad()", ["const bad = (): never => refuse('x')\nconst b = (a)"]],
  ['a check that is a call', 'check(a)', [';']],
  ['a filter', 'const b = a.filter(f)', ['const b = a']],
  ['every and some', 'const b = a.every(f)', ['const b = a.some(f)']],
  ['both sides', 'const b = a && c', ['const b = (a)', 'const b = (c)']],
  ['a table', "const b = ['x', 'y']", ["const b = ['y']", "const b = ['x']"]],
  ['a condition', 'if (a) b = c', ['if (false) b = c', 'if (true) b = c']],
  ['equality', 'const b = a === c', ['const b = a !== c']],
  ['a bit', 'const b = a & 4', ['const b = a & 5']],
]
for (const [name, text, expected] of cases) test(`mutants of ${name}`, () => assert.deepEqual(made(text).sort(), [...expected].sort()))
test('messages are not mutated', () => assert.deepEqual(made("refuse('x', a > 1 ? 'b' : 'c', 'd', String(a === 2))"), []))

test('rooms have sources, and equivalent mutants exist', () => {
  const rooms = roomsOf(root)
  for (const room of rooms) assert.ok(room.sources.length > 0, room.name)
  for (const one of EQUIVALENT) {
    assert.ok(existsSync(join(root, one.path)), one.path)
    assert.ok(mutantsOf(one.path, readFileSync(join(root, one.path), 'utf8')).some(mutant => mutant.what === one.what), `${one.path}: ${one.what}`)
    assert.ok(one.why.length > 20)
  }
})
