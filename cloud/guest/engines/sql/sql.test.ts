/** The clean room's rules as tests (clean-room.md sections 6 to 9 and 13). */
import assert from 'node:assert/strict'
import { readdirSync, writeSync } from 'node:fs'
import { test } from 'node:test'
import { utf8 } from '@cloister/core/bytes/text'
import type { Output } from '@cloister/core/charter/types'
import { nodePrimitives, nodeRandom } from '../../../crypto/node.ts'
import { checkSql, runSql, type SqlOutcome, type SqlRun } from './index.ts'
import { messageOf, opaqueNames } from './opaque.ts'
import { toHex } from '@cloister/core/bytes/hex'
import { COLUMNS, INPUT_DECLARATION } from './shape.ts'

const HEAD = `-- cloister sql/1\n-- input ${INPUT_DECLARATION}\n`
const PAIRS = 'select x.claim as a, y.claim as b from claims x join claims y on x.vehicle = y.vehicle and x.insurer < y.insurer'
const STATISTICS = 'select x.claim as a, y.claim as b, x.loss_type as loss_type, least(x.amount, y.amount) as amount from claims x join claims y on x.vehicle = y.vehicle and x.insurer < y.insurer'
const pairsProgram = (query: string) => `${HEAD}-- output twice shape=rows about=own of=pairs score=50\n${query}\n`
const statisticsProgram = (clip = 1_000_000) => `${HEAD}-- output overlap shape=aggregate by=loss_type(glass|theft) sum=amount(${clip}) per-person=2\n${STATISTICS}\n`
const OWNERS = ['alpha', 'bravo', 'carol']
const ROWS: Output = { to: OWNERS, shape: 'rows', about: 'own' }
const AGGREGATE: Output = { to: OWNERS, shape: 'aggregate', atLeast: 3 }

/** One claim as a CSV line; what a test does not care about is filled in. */
function claim(id: string, facts: { person?: string; born?: string; vin?: string; date?: string; type?: string; amount?: number } = {}): string {
  const { person = `Person ${id.replace(/[^0-9]/g, '')}`, born = '1980-01-01', vin = `VIN${id}`, date = '2024-05-01', type = 'glass', amount = 1000 } = facts
  return `${id},${person},${born},${vin},0151,10115,${date},${type},${amount},,open`
}

type Files = Record<string, string[] | string>

async function run(program: string, files: Files, more: Partial<SqlRun> = {}) {
  return runSql({
    p: nodePrimitives, program: utf8(program), outputs: [ROWS, AGGREGATE], random: nodeRandom, roomKey: new Uint8Array(32).fill(9), threads: 2, memoryBytesMax: 500e6,
    inputs: Object.entries(files).map(([owner, lines]) => ({
      asset: `${owner[0]}-claims`, owner,
      open: (sink: number) => { writeSync(sink, typeof lines === 'string' ? lines : [COLUMNS.map(({ name }) => name).join(), ...lines, ''].join('\n')); return { ok: true, value: undefined } },
    })), ...more,
  })
}

async function accepted(program: string, files: Files, more: Partial<SqlRun> = {}): Promise<SqlOutcome> {
  const result = await run(program, files, more)
  return result.ok ? result.value : assert.fail(JSON.stringify(result.refusal))
}

interface Row { claim_id: string; case: string; loss_type: string; insurers: string[]; vehicles: number | null; amount: number | null; withheld: boolean }
function rowsOf(outcome: SqlOutcome, to: string): Row[] {
  const output = outcome.outputs.find(found => found.to === to) ?? assert.fail(`nothing for ${to}`)
  return (JSON.parse(new TextDecoder().decode(output.bytes)) as { rows: Row[] }).rows // as the engine wrote it
}

const several = (owner: string, count: number, facts: (i: number) => Parameters<typeof claim>[1] = () => ({})) => Array.from({ length: count }, (_, i) => claim(`${owner}${i}`, { vin: `V${i}`, ...facts(i) }))

test('every construct outside the list is refused, one query each', async () => {
  const select = (what: string, rest = '') => `select ${what} as a, claim as b from claims ${rest}`
  const cases: [string, string][] = [
    ['sql.statement', 'insert into claims values (1)'], ['sql.statement', 'copy claims to \'/tmp/x\''], ['sql.statement', 'pragma enable_profiling'], ['sql.statement', `${PAIRS}; ${PAIRS}`],
    ['sql.statement', 'attach \':memory:\' as m'], ['sql.statement', 'set threads = 1'], ['sql.statement', 'explain analyze select 1'], ['sql.statement', ''],
    ['sql.table', 'describe claims'], ['sql.table', 'summarize claims'], ['sql.table', 'show tables'], ['sql.table', 'values (1, 2)'], ['sql.table', 'select 1 as a, 2 as b'],
    ['sql.table', 'select claim as a, claim as b from data'], ['sql.table', 'select claim as a, claim as b from \'/etc/passwd\''], ['sql.table', 'select content as a, size as b from read_text(\'/proc/self/environ\')'],
    ['sql.table', 'select name as a, value as b from duckdb_settings()'], ['sql.table', 'select a, b from query(\'select claim as a, claim as b from claims\')'], ['sql.expression', 'select claim as a, claim as b from information_schema.tables'],
    ['sql.table', 'select claim as a, claim as b from glob(\'*\')'], ['sql.expression', 'select claim as a, claim as b from main.claims'],
    ['sql.function', select('getvariable(\'x\')')], ['sql.function', select('random()')], ['sql.function', select('current_setting(\'threads\')')], ['sql.function', select('hash(name)')], ['sql.function', select('string_agg(name, \',\')')],
    ['sql.function', select('any_value(claim)')], ['sql.function', select('amount * 10000000')], ['sql.function', select('claim + 1')], ['sql.function', select('json_execute_serialized_sql(name)')], ['sql.function', select('error(name)')],
    ['sql.function', select('case when name = \'y\' then error(\'q\') end')], ['sql.function', select('nextval(\'s\')')], ['sql.function', select('list(claim)')], ['sql.function', select('regexp_extract(name, \'.*\')')], ['sql.function', select('unnest([1])')],
    ['sql.column', select('rowid')], ['sql.column', select('claims')], ['sql.column', select('claim_id')], ['sql.column', 'select * from claims'], ['sql.column', 'select claim as a, claim as b from claims where t.claim = 1'], ['sql.column', 'select name as a, claim as b from claims name'],
    ['sql.column', 'select claim as a, claim + 0, claim as b from claims'],
    ['sql.expression', select('name::integer')], ['sql.expression', select('(select max(claim) from claims)')], ['sql.expression', select('claim', 'where exists (select claim from claims)')], ['sql.expression', select('claim', 'order by claim')],
    ['sql.expression', select('claim', 'limit 1')], ['sql.expression', select('claim', 'qualify true')], ['sql.expression', select('claim', 'using sample 10')], ['sql.expression', select('row_number() over ()')], ['sql.expression', 'select x.claim as a, y.claim as b from claims x, claims y'],
    ['sql.expression', 'select x.claim as a, y.claim as b from claims x natural join claims y'], ['sql.expression', select('claim', 'group by rollup (claim)')], ['sql.expression', 'select distinct on (name) claim as a, claim as b from claims'],
    ['sql.expression', select('list_transform([claim], x -> x)')], ['sql.expression', select('try(claim)')], ['sql.expression', select('$1')],
  ]
  for (const [code, query] of cases) {
    const result = await checkSql(utf8(pairsProgram(query)))
    assert.ok(!result.ok, `accepted: ${query}`)
    const family = ['sql.function', 'sql.column', 'sql.expression']
    assert.ok(result.refusal.code === code || (family.includes(code) && family.includes(result.refusal.code)), `${query}: ${JSON.stringify(result.refusal)}`)
  }
})

test('a program file is refused for its header, its declaration of columns, unknown options and names used twice', async () => {
  const cases = [
    PAIRS, `-- cloister sql/2\n${PAIRS}`, `-- cloister sql/1\n-- output twice shape=rows about=own of=pairs score=50\n${PAIRS}`, HEAD, `${HEAD}${PAIRS}`,
    `${HEAD}-- output twice shape=rows about=all of=pairs score=50\n${PAIRS}`, `${HEAD}-- output twice shape=rows about=own of=pairs score=50 extra=1\n${PAIRS}`, `${HEAD}-- output twice shape=rows about=own of=pairs score=500\n${PAIRS}`,
    `${pairsProgram(PAIRS)}-- output twice shape=rows about=own of=pairs score=50\n${PAIRS}`, `${HEAD}-- view data\n${PAIRS}\n-- output x shape=rows about=own of=pairs score=1\n${PAIRS}`, pairsProgram(PAIRS) + '-- '.repeat(30_000),
  ]
  for (const program of cases) {
    const result = await checkSql(utf8(program))
    assert.equal(result.ok ? 'accepted' : result.refusal.code, 'sql.syntax', program.slice(0, 200))
  }
})

test('a receiver gets its own claims only; the other side gets the same case number; planted claims show up there too', async () => {
  const outcome = await accepted(pairsProgram(PAIRS), { alpha: several('a', 4), bravo: [...several('b', 3), claim('planted', { vin: 'v 3' })], carol: several('c', 3, i => ({ vin: `X${i}` })) })
  for (const owner of OWNERS) assert.ok(rowsOf(outcome, owner).every(row => row.claim_id.startsWith(owner[0] ?? '') || (owner === 'bravo' && row.claim_id === 'planted')))
  const cases = (owner: string) => rowsOf(outcome, owner).map(row => row.case)
  assert.deepEqual(cases('alpha'), cases('bravo'))
  assert.equal(cases('alpha').length, 4)
  assert.deepEqual(cases('carol'), [])
  assert.deepEqual(Object.keys(rowsOf(outcome, 'alpha')[0] ?? {}), ['claim_id', 'case', 'score', 'reasons'])
  assert.deepEqual(outcome.counts, { alpha: { claims: 4, cases: 4 }, bravo: { claims: 4, cases: 4 }, carol: { claims: 3, cases: 0 } })
})

test('a query that pairs claims of one insurer, or handles that do not exist, yields no case', async () => {
  const outcome = await accepted(pairsProgram('select x.claim as a, y.claim as b from claims x join claims y on x.insurer = y.insurer and x.claim < y.claim'), { alpha: several('a', 3), bravo: several('b', 3) }, { outputs: [ROWS] })
  assert.deepEqual(rowsOf(outcome, 'alpha'), [])
})

test('an output without a grant of every owner is refused before any input is opened', async () => {
  let opened = 0
  const result = await run(pairsProgram(PAIRS), {}, { outputs: [AGGREGATE], inputs: [{ asset: 'a-claims', owner: 'alpha', open: () => { opened++; return { ok: true, value: undefined } } }] })
  assert.equal(result.ok ? 'accepted' : result.refusal.code, 'grant.output')
  assert.equal(opened, 0)
})

test('who is not named as receiver gets nothing', async () => {
  const outcome = await accepted(pairsProgram(PAIRS), { alpha: several('a', 3), bravo: several('b', 3) }, { outputs: [{ to: ['bravo'], shape: 'rows', about: 'own' }] })
  assert.deepEqual(outcome.outputs.map(output => output.to), ['bravo'])
})

const cellOf = async (files: Files, more: Partial<SqlRun> = {}) => rowsOf(await accepted(statisticsProgram(), files, { outputs: [{ to: OWNERS, shape: 'aggregate', atLeast: 10 }], ...more }), 'alpha').find(row => row.loss_type === 'glass') ?? assert.fail('no cell')
const filler = (owner: string) => several(`${owner}only`, 5, i => ({ vin: `${owner}only${i}` }))

test('a cell needs ten persons of each owner: nine of one owner withhold it', async () => {
  const born = (i: number) => `19${60 + i}-03-0${1 + i % 9}`
  const ten = (owner: string, same: boolean) => [...several(owner, 10, i => ({ person: `${owner} ${same && i === 9 ? 0 : i}`, born: same && i === 9 ? born(0) : born(i) })), ...filler(owner)]
  assert.deepEqual(await cellOf({ alpha: ten('a', false), bravo: ten('b', false) }), { insurers: ['alpha', 'bravo'], loss_type: 'glass', vehicles: 10, amount: 10_000, withheld: false })
  assert.deepEqual(await cellOf({ alpha: ten('a', false), bravo: ten('b', true) }), { insurers: ['alpha', 'bravo'], loss_type: 'glass', vehicles: null, amount: null, withheld: true })
})

test('typing noise does not make persons: the smaller of persons and vehicles counts', async () => {
  const two = (owner: string) => [...several(owner, 12, i => ({ vin: `V${i % 2}`, person: `Typo ${'abcdefghijklm'[i] ?? ''}` })), ...filler(owner)]
  assert.equal((await cellOf({ alpha: two('a'), bravo: two('b') })).withheld, true)
})

test('a cell that one owner or one person dominates is withheld; cells are fixed and filled', async () => {
  const owner = (name: string, amount: (i: number) => number) => [...several(name, 12, i => ({ amount: amount(i), person: `P ${name}${i}` })), ...filler(name)]
  assert.equal((await cellOf({ alpha: owner('a', () => 1000), bravo: owner('b', () => 1000) })).withheld, false)
  assert.equal((await cellOf({ alpha: owner('a', () => 100_000), bravo: owner('b', () => 1000) })).withheld, true)
  assert.equal((await cellOf({ alpha: owner('a', i => (i === 0 ? 400_000 : 1000)), bravo: owner('b', () => 5000) })).withheld, true)
  const cells = rowsOf(await accepted(statisticsProgram(), { alpha: several('a', 10), bravo: several('b', 10), carol: several('c', 10) }), 'carol')
  assert.deepEqual(cells.map(cell => `${cell.insurers.join('+')} ${cell.loss_type}`), ['alpha+bravo glass', 'alpha+bravo theft', 'alpha+carol glass', 'alpha+carol theft', 'bravo+carol glass', 'bravo+carol theft'])
})

test('with epsilon, one person in many claims moves the result by no more than its bound', async () => {
  const people = (owner: string) => several(owner, 30, i => ({ person: `P ${i}`, born: `19${40 + i}-01-01` }))
  const heavy = (owner: string) => Array.from({ length: 50 }, (_, i) => claim(`${owner}h${i}`, { vin: `H${i}`, person: 'Heavy Person', amount: 900_000 }))
  // The same bytes both times, so that the noise is the same and only the data differs.
  const outputs: Output[] = [{ to: OWNERS, shape: 'aggregate', atLeast: 10, epsilon: 1 }]
  const seeded = (length: number) => new Uint8Array(length).map((_, i) => (i * 197 + 31) & 255)
  const without = await cellOf({ alpha: people('a'), bravo: people('b') }, { outputs, random: seeded })
  const withHeavy = await cellOf({ alpha: [...people('a'), ...heavy('a')], bravo: [...people('b'), ...heavy('b')] }, { outputs, random: seeded })
  assert.ok(Math.abs((withHeavy.vehicles ?? 0) - (without.vehicles ?? 0)) <= 4)
  assert.ok(Math.abs((withHeavy.amount ?? 0) - (without.amount ?? 0)) <= 4_000_000)
})

test('a file of another shape is refused with its column and line, and never with a value', async () => {
  const good = several('b', 3)
  const header = COLUMNS.map(({ name }) => name).join()
  const cases: [string, string, string][] = [
    ['data.column', 'a-claims.vin', `${header.replace(',vin', '')}\n`],
    ['data.column', 'a-claims', `${header},note\n`],
    ['data.column', 'a-claims.claim_id', 'Secret,Secret2\n'],
    ['data.type', 'a-claims.date_of_birth line 3', [header, claim('a1'), claim('a2', { born: '31.12.Secret' })].join('\n')],
    ['data.type', 'a-claims.amount line 2', `${header}\n${claim('a1').replace(',1000,', ',10.50Secret,')}\n`],
    ['data.type', 'a-claims.amount line 2', `${header}\n${claim('a1', { amount: -5 })}\n`],
    ['data.type', 'a-claims.claim_id line 2', [header, claim('a1'), claim('a1')].join('\n')],
    ['data.type', 'a-claims.claim_id line 3', [header, claim('a1'), claim('').replace(/^/, '')].join('\n')],
    ['data.type', 'a-claims.loss_date line 2', `${header}\n${claim('a1', { date: 'infinity' })}\n`],
    ['data.format', 'a-claims line 3', `${header}\n${claim('a1')}\n${claim('a2')},Secret,Secret\n`],
    ['data.format', 'a-claims', 'PAR1 not really'],
    ['data.format', 'a-claims', ''],
    ['data.too-few', 'alpha', `${header}\n`],
  ]
  for (const [code, at, file] of cases) {
    const result = await run(pairsProgram(PAIRS), { alpha: file, bravo: good })
    assert.ok(!result.ok, file)
    assert.deepEqual([result.refusal.code, result.refusal.at], [code, at], JSON.stringify(result.refusal))
    assert.ok(!JSON.stringify(result.refusal).includes('Secret'), JSON.stringify(result.refusal))
  }
})

test('columns in another order, other delimiters, a byte order mark, quotes and CRLF are read alike', async () => {
  const bravo = several('b', 3)
  const header = COLUMNS.map(({ name }) => name)
  const files = [
    [header.join(';'), ...several('a', 3).map(line => line.replaceAll(',', ';'))].join('\r\n'),
    [[...header].reverse().join(), ...several('a', 3).map(line => line.split(',').reverse().join())].join('\n'),
    `\uFEFF${[header, ...several('a', 3).map(line => line.split(','))].map(row => row.map(value => `"${value}"`).join()).join('\n')}\n`,
  ]
  const results = await Promise.all([several('a', 3), ...files].map(async alpha => rowsOf(await accepted(pairsProgram(PAIRS), { alpha, bravo }), 'alpha')))
  for (const rows of results) assert.deepEqual(rows, results[0])
})

test('the result is the same over runs and thread counts, and no file is left behind', async () => {
  const before = readdirSync('/dev/shm').filter(name => name.startsWith('cloister-'))
  const files = { alpha: several('a', 300), bravo: several('b', 300), carol: several('c', 300) }
  const digests = new Set<string>()
  for (let i = 0; i < 12; i++) {
    const outcome = await accepted(pairsProgram(PAIRS), files, { threads: 1 + i % 4 })
    digests.add(toHex(nodePrimitives.hash('sha256', Buffer.concat(outcome.outputs.map(output => output.bytes)))))
  }
  assert.equal(digests.size, 1)
  assert.deepEqual(readdirSync('/dev/shm').filter(name => name.startsWith('cloister-')), before)
})

test('a run beyond its time or memory is stopped with a refusal', async () => {
  const cross = 'select x.claim as a, y.claim as b from claims x join claims y on x.loss_type = y.loss_type and x.insurer < y.insurer where jaro_winkler_similarity(x.name, y.name) > 2'
  const files = { alpha: several('a', 9000), bravo: several('b', 9000) }
  const late = await run(pairsProgram(cross), files, { secondsMax: 1 })
  assert.deepEqual(late.ok ? 'accepted' : [late.refusal.code, late.refusal.expected], ['sql.limit', 'an answer within the time limit'])
  const large = await run(pairsProgram(PAIRS), { alpha: several('a', 30_000, () => ({ vin: 'V' })), bravo: several('b', 30_000, () => ({ vin: 'V' })) }, { memoryBytesMax: 80e6, secondsMax: 20 })
  assert.equal(large.ok ? 'accepted' : large.refusal.code, 'sql.limit')
})

test('names in the room are HMAC-SHA256, truncated', () => {
  for (const key of [new Uint8Array(32).fill(3), new Uint8Array(100).fill(5)]) {
    const whole = toHex(nodePrimitives.hmac('sha256', key, utf8(messageOf('label', ['x', 'y']))))
    assert.equal(opaqueNames(nodePrimitives, key)('label', ['x', 'y']), whole.slice(0, 20))
    assert.notEqual(messageOf('label', ['x', 'y']), messageOf('label', ['x1:y']))
  }
})
