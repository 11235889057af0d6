// Firmware that Debian packages, measured: values from ovmf-amdsev 2026.08+ds-2, equal to those of sev-snp-measure 0.0.13.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { cpuSignature, kernelHashes, readSnpFirmware, snpLaunchDigest } from './snp.ts'

/** Where `apt-get install ovmf-amdsev ovmf-inteltdx` puts it, or an unpacked package. */
const folder = process.env['CLOISTER_FIRMWARE'] ?? '/usr/share/ovmf'

/** The image, when it is there and the one whose numbers stand here; else why not. */
function firmware(name: string, sha256: string): { image: Uint8Array; skip: string | false } {
  const path = join(folder, name)
  if (!existsSync(path)) return { image: new Uint8Array(), skip: `no ${path}: install it, or set CLOISTER_FIRMWARE` }
  const image = new Uint8Array(readFileSync(path))
  return { image, skip: createHash('sha256').update(image).digest('hex') === sha256 ? false : `${path} is another version` }
}

const amdSev = firmware('OVMF.amdsev.fd', '3e4fd0b3fe3b2dbe481c3d9e99418a034174f26cbe1f55aa212b0f18c12d2d6f')

test('OVMF.amdsev.fd: digest, sections and launch digests without and with a kernel', { skip: amdSev.skip }, () => {
  const result = readSnpFirmware(p, amdSev.image)
  assert.ok(result.ok)
  assert.equal(result.value.digest, '9d0dd8be18c86e3fe3bf0038ed75ebf5340bee69fd2632c8ff9409964575960ae1f7e84be387d2e3467bc3508d1e4806')
  assert.deepEqual([result.value.sections.length, result.value.hashTable, result.value.resetEip], [7, 0x810c00, 0x80b004])
  const launch = { firmware: result.value, vcpus: 2, vcpuSignature: cpuSignature('EPYC-v4'), guestFeatures: 1, host: 'qemu' } as const
  assert.deepEqual(snpLaunchDigest(p, launch), { ok: true, value: 'a3c946257b3cef8f1e25dd03cb84f9f01313ae9135c32acc7e01f4204aa447aaa196530d5999be0f114462d2546cd02d' })
  assert.deepEqual(snpLaunchDigest(p, { ...launch, kernel: kernelHashes(p, utf8('kernel'), utf8('initrd'), 'console=ttyS0') }), { ok: true, value: '6000683b27d29041d7e413430d3d9dc02d350d1c4c234225dac23902ac51ceef9f888a5678c8ba6f57ede4043414416d' })
})
