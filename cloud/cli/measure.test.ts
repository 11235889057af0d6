// `cloister measure` as a person types it, on images made up here: the reference value is the one that core computes, and what cannot be told is said.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { eifRegisters, readEif } from '@cloister/core/appraisal/reference/eif'
import { readTdvf, tdxMrtd } from '@cloister/core/appraisal/reference/tdx'
import { parsePolicyFile } from '@cloister/core/appraisal/policy'
import { orRefuse } from '@cloister/core/refusal'
import { eifOf } from '@cloister/core/appraisal/reference/eif.fixture'
import { snpImage, tdxImage } from '@cloister/core/appraisal/reference/firmware.fixture'
import { KERNEL, ukiOf } from '@cloister/core/appraisal/reference/pe.fixture'
import { nodePrimitives as p } from '../crypto/node.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloister-measure-'))
after(() => rmSync(folder, { recursive: true }))
const write = (name: string, bytes: Uint8Array) => { writeFileSync(join(folder, name), bytes); return name }

interface Ran { readonly status: number | null; readonly out: string; readonly err: string; readonly json: Record<string, unknown> }
function measure(...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'main.ts'), 'measure', ...args], { cwd: folder, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } })
  // A test's own parse: what is there is asserted.
  return { status, out: stdout, err: stderr, json: stdout.startsWith('{') ? JSON.parse(stdout) as Record<string, unknown> : {} }
}
const reference = (ran: Ran) => ran.json['reference'] as { tee: string; hex: string; registers?: Record<string, string> } // the documented shape
const codeOf = (ran: Ran) => (ran.json['refusal'] as { code: string } | undefined)?.code

test('a Nitro enclave: the line for a policy file is a policy', () => {
  const image = eifOf()
  const ran = measure('nitro', write('app.eif', image), '--name', 'app 7', '--role', 'arn:aws:iam::123456789012:role/Webserver')
  assert.equal(ran.status, 0, ran.err)
  assert.match(ran.err, /version 4 for x86_64: kernel 6 bytes, command line "reboot=k", 2 ramdisks/)
  const policy = orRefuse(parsePolicyFile(`{"tee":["nitro"],${ran.out.trim().split('\n').at(-1)}}`))
  const { PCR0, ...others } = eifRegisters(p, orRefuse(readEif(image)))
  assert.deepEqual([policy.measurements[0]?.hex, policy.measurements[0]?.name], [PCR0, 'app 7'])
  assert.deepEqual({ ...policy.measurements[0]?.registers }, { ...others, PCR3: '78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6' })
  assert.equal(codeOf(measure('nitro', write('cut.eif', image.subarray(0, -1)), '--json')), 'bytes.truncated')
})

test('a TDX guest with its kernel, and what cannot be told without the machine', () => {
  const firmware = write('tdx.fd', tdxImage())
  const ran = measure('tdx', '--firmware', firmware, '--kernel', write('kernel', KERNEL), '--cmdline', 'quiet', '--json')
  assert.equal(ran.status, 0, ran.err)
  assert.deepEqual([reference(ran).hex, Object.keys(reference(ran).registers ?? {})], [tdxMrtd(p, orRefuse(readTdvf(tdxImage())), 'single-pass'), ['RTMR1', 'RTMR2']])
  assert.match(ran.err, /RTMR0: cannot be told/)
  const whole = measure('tdx', '--firmware', firmware, '--kernel', 'kernel', '--memory', '2048', '--acpi', '11'.repeat(48), '22'.repeat(48), '--json')
  assert.deepEqual(Object.keys(reference(whole).registers ?? {}).toSorted(), ['RTMR0', 'RTMR1', 'RTMR2'])
  assert.match(measure('tdx', '--firmware', firmware, '--json').err, /only the firmware/)
  for (const args of [['--order', 'any'], ['--separator', 'RTMR2'], ['--uki', 'kernel', '--kernel', 'kernel'], ['--uki', 'kernel']]) assert.equal(codeOf(measure('tdx', '--firmware', firmware, ...args, '--json')), 'cli.usage', args.join(' '))
})

test('an SNP guest and a virtual TPM', () => {
  const snp = measure('snp', '--firmware', write('snp.fd', snpImage()), '--vcpus', '2', '--kernel', write('kernel', KERNEL), '--cmdline', 'quiet', '--json')
  assert.equal(snp.status, 0, snp.err)
  assert.match(reference(snp).hex, /^[0-9a-f]{96}$/)
  assert.notEqual(reference(measure('snp', '--firmware', 'snp.fd', '--vcpus', '3', '--kernel', 'kernel', '--cmdline', 'quiet', '--json')).hex, reference(snp).hex)
  for (const args of [['--vcpus', 'two'], ['--vcpus', '2', '--host', 'xen'], ['--vcpus', '2', '--initrd', 'kernel']]) assert.equal(codeOf(measure('snp', '--firmware', 'snp.fd', ...args, '--json')), 'cli.usage')
  const tpm = measure('tpm', '--uki', write('image.efi', ukiOf()), '--phases', 'enter-initrd:leave-initrd', '--secure-boot', 'off', '--json')
  assert.deepEqual(Object.keys(reference(tpm).registers ?? {}).toSorted(), ['PCR11', 'PCR12', 'PCR13', 'PCR4', 'PCR7', 'PCR9'])
  assert.match(measure('tpm', '--uki', 'image.efi').err, /PCR7: cannot be told/)
  assert.equal(codeOf(measure('tpm', '--uki', 'image.efi', '--bank', 'md5', '--json')), 'cli.usage')
})
