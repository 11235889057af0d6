/** Every kind of noise is found or missed exactly as the table in README.md says, and the files are what they claim to be. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import { outputsOf } from '@cloister/core/charter/decide'
import { nodePrimitives, nodeRandom } from 'cloister/crypto/node'
import { checkSql, runSql, type SqlOutcome } from 'cloister/guest/engines/sql/index'
import { generate, INSURERS, KINDS, toParquet, type Generated, type Kind } from './generate.ts'
import { demoKey } from './keys.ts'

const here = (name: string) => join(import.meta.dirname, name)
let folder = ''
let made: Generated

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'cloister-claims-'))
  made = generate({ claims: 20_000, seed: 'cloister', out: folder })
})
after(() => rmSync(folder, { recursive: true }))

const charter = () => {
  const result = parseCharterYaml(readFileSync(here('charter.yaml'), 'utf8'))
  return result.ok ? result.value : assert.fail(JSON.stringify(result.refusal))
}

async function run(suffix: 'csv' | 'parquet'): Promise<SqlOutcome> {
  const result = await runSql({
    p: nodePrimitives, program: readFileSync(here('queries.sql')), outputs: outputsOf(charter().grants), random: nodeRandom, roomKey: new Uint8Array(32).fill(1), threads: 2, memoryBytesMax: 1e9,
    inputs: INSURERS.map(owner => ({ asset: `${owner[0]}-claims`, owner, open: (sink: number) => { writeAll(sink, readFileSync(join(folder, `${owner}.${suffix}`))); return { ok: true, value: undefined } } })),
  })
  return result.ok ? result.value : assert.fail(JSON.stringify(result.refusal))
}

function writeAll(sink: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(sink, bytes, at)
}

/** What each query finds of each kind: all of it, none of it, or at least nine tenths. */
const TABLE: Record<Kind, { readonly 'same-vehicle': 'all' | 'none'; readonly 'same-person': 'most' | 'none'; readonly any: 'all' | 'most' | 'none' }> = {
  'exact': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'loss date within 3 days': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'amount within 20 %': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'last name misspelt': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'names swapped': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'birth date wrong': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'vin in another form': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'vin misspelt': { 'same-vehicle': 'none', 'same-person': 'most', 'any': 'most' },
  'vin missing': { 'same-vehicle': 'none', 'same-person': 'most', 'any': 'most' },
  'phone in another form': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'phone new': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'loss type relabelled': { 'same-vehicle': 'none', 'same-person': 'none', 'any': 'none' },
  'loss date a week off': { 'same-vehicle': 'none', 'same-person': 'none', 'any': 'none' },
  'mixed': { 'same-vehicle': 'all', 'same-person': 'most', 'any': 'all' },
  'hard': { 'same-vehicle': 'none', 'same-person': 'most', 'any': 'most' },
}

test('each kind of noise is found or missed as the table says; nearly nothing honest is accused', async () => {
  const outcome = await run('csv')
  const reasons = reasonsByPair(outcome)
  for (const kind of KINDS) {
    const injected = made.truth.filter(truth => truth.kind === kind)
    const found = (reason: string) => injected.filter(({ copy, original }) => {
      const found = reasons.get([copy, original].sort().join())
      return found !== undefined && (reason === 'any' || found.has(reason))
    }).length
    for (const [reason, expected] of Object.entries(TABLE[kind])) {
      const share = found(reason) / injected.length
      assert.ok(expected === 'all' ? share === 1 : expected === 'none' ? share === 0 : share >= 0.9, `${kind}, ${reason}: ${share} of ${injected.length}`)
    }
  }
  const injected = new Set(made.truth.flatMap(({ copy, original }) => [copy, original]))
  const honest = [...reasons.keys()].filter(pair => !pair.split(',').some(id => injected.has(id)))
  assert.ok(honest.length <= reasons.size / 50, `${honest.length} of ${reasons.size}`)
})

/** Put the three insurers' own lists together by case number: what only a test may do. */
function reasonsByPair(outcome: SqlOutcome): Map<string, Set<string>> {
  const cases = new Map<string, { ids: string[]; reasons: string[] }>()
  for (const output of outcome.outputs.filter(({ name }) => name === 'cases')) {
    const { rows } = JSON.parse(new TextDecoder().decode(output.bytes)) as { rows: { claim_id: string; case: string; reasons: string[] }[] } // the engine's own form
    assert.ok(rows.every(row => row.claim_id.startsWith((output.to[0] ?? '').toUpperCase())), 'only own claims')
    for (const row of rows) cases.set(row.case, { reasons: row.reasons, ids: [...cases.get(row.case)?.ids ?? [], row.claim_id] })
  }
  const pairs = new Map<string, Set<string>>()
  for (const { ids, reasons } of cases.values()) {
    for (const [i, one] of ids.entries()) for (const two of ids.slice(i + 1)) {
      const key = [one, two].sort().join()
      pairs.set(key, new Set([...pairs.get(key) ?? [], ...reasons]))
    }
  }
  return pairs
}

test('Parquet gives the same cases as CSV', async () => {
  for (const path of Object.values(made.files)) await toParquet(path, path.replace(/csv$/, 'parquet'))
  const cases = (outcome: SqlOutcome) => outcome.outputs.filter(({ name }) => name === 'cases').map(({ bytes }) => Buffer.from(bytes).toString())
  assert.deepEqual(cases(await run('parquet')), cases(await run('csv')))
})

test('the same seed gives the same bytes, another seed others', () => {
  const digests = (seed: string) => Object.values(generate({ claims: 500, seed, out: join(folder, seed) }).files).map(path => createHash('sha256').update(readFileSync(path)).digest('hex'))
  assert.deepEqual(digests('one'), digests('one'))
  assert.notDeepEqual(digests('one'), digests('two'))
})

test('the charter names the reviewed file and the demo keys', async () => {
  const { programs, parties } = charter()
  const program = readFileSync(here('queries.sql'))
  assert.deepEqual(programs['match']?.run, { sql: `sha256:${createHash('sha256').update(program).digest('hex')}` })
  const checked = await checkSql(program)
  assert.deepEqual(checked.ok && checked.value.outputs.map(({ name }) => name), ['same-vehicle', 'same-person', 'overlap', 'ring'])
  for (const party of INSURERS) {
    const demo = demoKey(party)
    assert.deepEqual(parties[party], { keys: [demo.key], seal: [demo.seal] })
    assert.equal(readFileSync(here(`keys/${party}.key`), 'utf8'), demo.signing)
    assert.equal(readFileSync(here(`keys/${party}.seal`), 'utf8'), demo.sealing)
  }
})
