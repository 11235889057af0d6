// Core in a browser: its portable tests run in Chromium, and neither they nor `index.ts` bring anything of Node along.
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { build, type Plugin } from 'esbuild'
import { chromium } from 'playwright-core'
import type { Outcome } from './browser.fixture.ts'

const CHROMIUM = '/usr/bin/chromium' // Debian's package
const here = import.meta.dirname
const shim = join(here, 'browser.fixture.ts')
const tests = readdirSync(here, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.test.ts') && !name.endsWith('.node.test.ts') && !/(^|\/)(dist|node_modules)\//.test(name)).sort()

/** The two modules of Node that a portable test may name; any other import of Node's fails the build. */
const nodeTest: Plugin = { name: 'node-test', setup: ({ onResolve }) => onResolve({ filter: /^node:(test|assert\/strict)$/ }, () => ({ path: shim })) }

/** `whole` keeps files that are imported for what they do, which `sideEffects: false` would leave out. */
async function bundle(contents: string, plugins: Plugin[], whole = false) {
  const result = await build({ stdin: { contents, resolveDir: here, loader: 'ts' }, bundle: true, write: false, metafile: true, format: 'esm', platform: 'browser', target: 'es2024', conditions: ['source'], plugins, ignoreAnnotations: whole, logLevel: 'silent' })
  return { text: result.outputFiles[0]?.text ?? '', inputs: Object.keys(result.metafile.inputs) }
}

test('index.ts bundles for browsers without a word of Node', async () => {
  const { text, inputs } = await bundle("export * from './index.ts'", [])
  assert.equal(/["'`]node:|\b(?:require|eval|new Function)\s*\(/.exec(text)?.[0], undefined)
  assert.ok(inputs.some(path => path.endsWith('verify.ts')), 'the auditor’s verbs are inside')
})

test('core passes its tests in Chromium', { skip: existsSync(CHROMIUM) ? false : 'no Chromium on this machine', timeout: 120_000 }, async () => {
  assert.ok(tests.length >= 3, 'there are portable tests')
  const { text } = await bundle(`${tests.map(name => `import './${name}'`).join('\n')}\nimport { runAll } from './browser.fixture.ts'\nglobalThis.outcomes = runAll()`, [nodeTest], true)
  assert.equal(/["'`]node:/.exec(text)?.[0], undefined)
  const outcomes = await inChromium(text)
  assert.deepEqual(outcomes.filter(outcome => outcome.error !== undefined), [])
  assert.ok(outcomes.length >= tests.length, `${outcomes.length} tests in ${tests.length} files`)
})

/** The page comes from a server of our own on the loopback, under a policy that forbids eval and every other origin. */
async function inChromium(script: string): Promise<Outcome[]> {
  const server = createServer((request, response) => {
    const page = request.url === '/'
    response.writeHead(200, { 'content-type': page ? 'text/html' : 'text/javascript', 'content-security-policy': "default-src 'none'; script-src 'self'" })
    response.end(page ? '<!doctype html><meta charset="utf-8"><script type="module" src="/core.js"></script>' : script)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  // A TCP server answers with an AddressInfo once it listens.
  const { port } = server.address() as AddressInfo
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage()
    const failures: string[] = []
    page.on('pageerror', error => failures.push(String(error)))
    // The bundle makes its evidence while it loads: slow machines need more than the usual half minute.
    await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load', timeout: 110_000 })
    // The bundle's last line puts the promise there.
    const outcomes = await page.evaluate(() => (globalThis as unknown as { outcomes?: Promise<Outcome[]> }).outcomes)
    return outcomes ?? assert.fail(`the bundle did not start: ${failures.join('; ')}`)
  } finally {
    await browser.close()
    server.close()
  }
}
