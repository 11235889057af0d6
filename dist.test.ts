// What is published: `tsc -b` has built it (first stage of `npm test`); core loads as plain JavaScript and judges.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = import.meta.dirname
const script = `import('@cloister/core').then(core => {
  const result = core.verifyEvidence(core.portable, { kind: 'snp', report: '', certificates: [] }, { now: 0 })
  process.stdout.write(result.ok ? 'accepted' : result.refusal.code)
})`
// The pinned Node, and a system's own where there is one: core promises Node 20.
const nodes = [process.execPath, '/usr/bin/node', '/usr/local/bin/node'].filter(path => existsSync(path))

for (const node of nodes) {
  test(`core from dist on ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`, { skip: existsSync(join(root, 'core/dist/index.js')) ? false : 'not built: tsc -b' }, () => {
    assert.equal(execFileSync(node, ['-e', script], { cwd: join(root, 'core'), encoding: 'utf8' }), 'bytes.truncated')
  })
}
test('the command line runs from dist', { skip: existsSync(join(root, 'cloud/dist/cli/main.js')) ? false : 'not built: tsc -b' }, () => {
  assert.match(execFileSync(process.execPath, [join(root, 'cloud/dist/cli/main.js'), '--version'], { encoding: 'utf8' }), /^0\.1\.0/)
})
