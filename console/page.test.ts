// The page in Chromium, opened from a disk: made-up and real evidence dropped into it, hostile files, and no request to anybody.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { chromium, type Browser, type Page } from 'playwright-core'
import { openSimulatedChip } from '../cloud/guest/attesters/simulated.ts'
import { buildPage } from './build.ts'

const CHROMIUM = '/usr/bin/chromium' // Debian's package
const skip = existsSync(CHROMIUM) ? false : 'no Chromium on this machine'
const folder = mkdtempSync(join(tmpdir(), 'cloister-console-'))
const vectors = join(import.meta.dirname, '../../shared/vectors')
const noVectors = skip === false ? (existsSync(join(vectors, 'MANIFEST.json')) ? false : 'the shared vectors are not here') : skip
let browser: Browser | undefined
let page: Page | undefined
const requests: string[] = []
const failures: string[] = []

before(async () => {
  if (skip !== false) return
  writeFileSync(join(folder, 'verify.html'), await buildPage())
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  page = await browser.newPage()
  page.on('request', request => requests.push(request.url()))
  page.on('pageerror', error => failures.push(String(error)))
  page.on('console', message => { if (message.type() === 'error') failures.push(message.text()) })
})
after(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** What the page says of these files. */
async function verdictOf(files: readonly string[], fields: Readonly<Record<string, string>> = {}): Promise<{ kind: string | undefined; text: string }> {
  const open = page ?? assert.fail('no page')
  await open.goto(pathToFileURL(join(folder, 'verify.html')).href)
  for (const [id, value] of Object.entries(fields)) await open.fill(`#${id}`, value)
  await open.setInputFiles('#files', [...files])
  await open.waitForSelector('.banner')
  return { kind: await open.getAttribute('body', 'data-verdict') ?? undefined, text: await open.innerText('#verdict') }
}
const write = (name: string, text: string) => { writeFileSync(join(folder, name), text); return join(folder, name) }

test('simulated evidence is called simulated; a nonce is compared', { skip }, async () => {
  const evidence = openSimulatedChip(Math.floor(Date.now() / 1000)).report({ measurement: new Uint8Array(48).fill(7), hostData: new Uint8Array(32) }, new Uint8Array(64).fill(9))
  const file = write('evidence.json', JSON.stringify(evidence))
  const found = await verdictOf([file], { nonce: '09'.repeat(64) })
  assert.equal(found.kind, 'simulated')
  assert.match(found.text, /SIMULATED: no hardware vouches[\s\S]*The SIMULATED root[\s\S]*it answers to your nonce/)
  const other = await verdictOf([file], { nonce: '00'.repeat(64) })
  assert.deepEqual([other.kind, /evidence\.report-data/.test(other.text)], ['refused', true])
  assert.match((await verdictOf([file], { time: 'soon' })).text, /a time like/)
})

test('hostile files are shown as text', { skip }, async () => {
  const hostile = '<img src=x onerror="document.body.dataset.owned=1"><script>document.body.dataset.owned=1</scr' + 'ipt>'
  const found = await verdictOf([write(`${'a'.repeat(20)}<b>.json`, JSON.stringify({ kind: hostile, report: hostile }))])
  assert.equal(found.kind, 'refused')
  assert.match(found.text, /<img src=x/)
  assert.equal(await page?.getAttribute('body', 'data-owned'), null)
  assert.equal((await verdictOf([write('noise.bin', '\u0001noise')])).kind, 'refused')
})

test('a file that is dropped', { skip }, async () => {
  const open = page ?? assert.fail('no page')
  await open.goto(pathToFileURL(join(folder, 'verify.html')).href)
  // As text, because this file is checked without the names of a browser.
  await open.evaluate(`{
    const data = new DataTransfer()
    data.items.add(new File(['{"kind":"snp"}'], 'evidence.json'))
    document.getElementById('drop').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))
  }`)
  await open.waitForSelector('.banner.refused')
  assert.match(await open.innerText('#names'), /evidence\.json/)
})

interface Case { readonly id: string; readonly tee: string; readonly valid_at: string | null; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly chain?: readonly string[]; readonly expect: { readonly verdict: string } }
test('real files of SNP, TDX, Nitro and NVIDIA', { skip: noVectors }, async () => {
  // The manifest's form is documented beside it.
  const { cases } = JSON.parse(readFileSync(join(vectors, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }
  for (const tee of ['sev-snp', 'tdx', 'nitro', 'nvidia']) {
    const one = cases.find(each => each.tee === tee && each.expect.verdict === 'accept' && !each.files.some(({ role }) => role === 'evidence' || role.startsWith('rim'))) ?? assert.fail(tee)
    const roles = ['report', 'vek', 'quote', 'collateral', 'document', 'chain']
    const paths = [...one.files.filter(({ role }) => roles.includes(role)).map(({ path }) => path), ...one.chain ?? []].map(path => join(vectors, path))
    const found = await verdictOf(paths, { time: one.valid_at ?? '' })
    assert.equal(found.kind, 'proven', `${one.id} ${found.text}`)
    assert.match(found.text, /patch levels: (at or above|evidence of kind)/)
    assert.match(found.text, /Who vouches for whom[\s\S]*pinned here/)
  }
})

test('genuine and weak: an old platform is not shown in green', { skip: noVectors }, async () => {
  // As above.
  const { cases } = JSON.parse(readFileSync(join(vectors, 'MANIFEST.json'), 'utf8')) as { cases: (Case & { readonly expect: { readonly tcb_status?: string } })[] }
  const one = cases.find(({ tee, expect }) => tee === 'tdx' && expect.tcb_status === 'OutOfDate') ?? assert.fail('no such case')
  const found = await verdictOf(one.files.map(({ path }) => join(vectors, path)), { time: one.valid_at ?? '' })
  assert.deepEqual([found.kind, /Intel calls it OutOfDate/.test(found.text)], ['weak', true], `${one.id} ${found.text}`)
})

test('nobody was asked for anything', { skip }, () => {
  assert.deepEqual(requests.filter(url => !url.startsWith('file:') && !url.startsWith('blob:')), [])
  assert.deepEqual(failures, [])
})
