// The key of a room: the same for every run of one program over the same keys, another one for anything else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Program } from '@cloister/core/charter/types'
import { roomKey, type ProgramInput, type ProgramRun } from './index.ts'

const program: Program = { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['snp'] } }
const input = (asset: string, version = 1, identity = 'AGE-SECRET-KEY-1') => ({ asset, fd: 0, about: { owner: 'alpha', kind: 'data' }, key: { asset, version, digest: `sha256:${'a'.repeat(64)}`, identity } }) as ProgramInput
const run = (change: Partial<ProgramRun> = {}, launch: Partial<ProgramRun['launch']> = {}): ProgramRun => ({
  launch: { lineage: `sha256:${'c'.repeat(64)}`, program: 'match', ...launch } as ProgramRun['launch'], // what the key is derived from
  program, code: new Uint8Array(0), grants: [], inputs: [input('a-claims'), input('b-claims')], ...change,
})
const hex = (one: ProgramRun) => Buffer.from(roomKey(one)).toString('hex')

test('one program over the same keys has one room key, in whatever order its inputs come', () => {
  assert.equal(hex(run()), hex(run({ inputs: [input('b-claims'), input('a-claims')] })))
  assert.equal(hex(run()), hex(run({ program: { ...program, on: { tee: ['tdx'] } } })), 'where it may run is not what it is')
})
test('other bytes, configuration, name, lineage, key or version of a key: another room key', () => {
  const others = [
    run({ program: { ...program, run: { sql: `sha256:${'2'.repeat(64)}` } } }), run({ program: { ...program, config: { a: '1' } } }), run({}, { program: 'other' }), run({}, { lineage: `sha256:${'d'.repeat(64)}` }),
    run({ inputs: [input('a-claims')] }), run({ inputs: [input('a-claims'), input('b-claims', 2)] }), run({ inputs: [input('a-claims'), input('b-claims', 1, 'AGE-SECRET-KEY-2')] }),
  ]
  assert.equal(new Set([run(), ...others].map(hex)).size, others.length + 1)
})
