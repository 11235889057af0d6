import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt, type RefusalCode, type Result } from '../../refusal.ts'
import { entry, GUID, imageOf, METADATA_FROM_END, sevMetadata, snpImage, type SevChange } from './firmware.fixture.ts'
import { little } from './firmware.ts'
import { cpuSignature, kernelHashes, readSnpFirmware, signatureOf, snpLaunchDigest, type SnpFirmware, type SnpLaunch, type SnpSection } from './snp.ts'

function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at, JSON.stringify(result.refusal))
}
function value<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(!result.ok && result.refusal))
  return result.value
}
const memory = (address: number, size: number): SnpSection => ({ kind: 'memory', address, size })
const page = (kind: SnpSection['kind'], address: number): SnpSection => ({ kind, address, size: 0x1000 })

/** OVMF for AMD SEV (edk2 AmdSevX64), as its published tests use it: 4096 bytes with this digest. */
const AMD_SEV: SnpFirmware = {
  digest: '086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74', hashTable: 0x810c00, resetEip: 0x80b004,
  sections: [memory(0x800000, 0x9000), memory(0x80a000, 0x3000), page('secrets', 0x80d000), page('cpuid', 0x80e000), page('caa', 0x80f000), page('kernelHashes', 0x810000), memory(0x811000, 0xf000)],
}
/** The same for OvmfX64, which takes no kernel. */
const OVMF_X64: SnpFirmware = { digest: '', resetEip: 0x80b004, sections: [...AMD_SEV.sections.slice(0, 5), memory(0x810000, 0x10000)] }
const EPYC = cpuSignature('EPYC-v4')
const empty = (cmdline = '') => kernelHashes(p, new Uint8Array(), new Uint8Array(), cmdline)
const launch = (change: Partial<SnpLaunch> = {}): SnpLaunch => ({ firmware: AMD_SEV, vcpus: 1, ...(change.host === undefined ? { vcpuSignature: EPYC } : {}), guestFeatures: 1, host: 'qemu', ...change })

test('the launch digests that sev-snp-measure publishes for QEMU, EC2 and GCE', () => {
  const cases: [Partial<SnpLaunch>, string][] = [
    [{ kernel: empty(), guestFeatures: 0x21 }, '329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198'],
    [{ kernel: empty() }, 'ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5'],
    [{ kernel: empty('console=ttyS0 loglevel=7'), guestFeatures: 0x21 }, '803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977'],
    [{ kernel: empty('console=ttyS0 loglevel=7') }, '6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa'],
    [{ guestFeatures: 0x21 }, 'e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b'],
    [{}, '19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d'],
    [{ kernel: empty(), vcpus: 4, guestFeatures: 0x21 }, '4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942'],
    [{ kernel: empty(), vcpus: 4 }, '5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5'],
    [{ kernel: empty(), host: 'ec2', guestFeatures: 0x21 }, '0ce9ccc06bab55eebe8abc234f3df6514883977a68a591b71052498ab52b2f1aa415db338033946ef93aa8278c0d67fb'],
    [{ kernel: empty(), host: 'ec2' }, '0883bd0eeb716e65b7b977a321c278d1e51b33b5c655fab985443bbcc65c086b9c15e8a0bd8811050dec7e24964e5056'],
    [{ kernel: empty(), host: 'gce' }, '5da7106cf14cf46b1725ebab123eb9e53bd46a1e9f400cd0c08e7827b04b688ea8b4e403c8404efed4397ea5d5d0722e'],
    [{ kernel: empty(), host: 'gce', vcpus: 4 }, '5c5debf100fc339f90276e761ee1f1658d08922c3b20e2a2e6c7a6c3370b2452a15a00eae11886a93d6fd1e7ab81e29d'],
  ]
  for (const [change, digest] of cases) assert.equal(value(snpLaunchDigest(p, launch(change))), digest, JSON.stringify(change))
})

test('the launch digest in a signed report of a Milan machine, from what its owner says was launched (Dstack-TEE/dstack)', () => {
  const cmdline = 'console=ttyS0 init=/init panic=1 net.ifnames=0 biosdevname=0 mce=off oops=panic pci=noearly pci=nommconf random.trust_cpu=y random.trust_bootloader=n tsc=reliable no-kvmclock dstack.rootfs_hash=ca5adaef0ac3a36108035925763b48a5818f634e700fbaab561d419fd30d7121 dstack.rootfs_size=490713088'
  const firmware: SnpFirmware = {
    digest: 'ffb57e393469a497c0e3b07bd1c97d8611e555f464d14491837665893ac642b263a71f9507ff100a847897fe0c3f8c6f', hashTable: 8457216, resetEip: 8433668,
    sections: [memory(8388608, 36864), memory(8429568, 12288), page('secrets', 8441856), page('cpuid', 8445952), page('caa', 8450048), memory(8458240, 61440), page('kernelHashes', 8454144)],
  }
  const kernel = { kernel: 'dd9ea274ce9a07090b22e8284b0c841b65c021c2d15ca57d0f16731089dd226c', initrd: '5f844c4a2ca5a3d0711b3db38293b21ba929bb8e0b3c5bc1a779a57f69221c19', cmdline: empty(cmdline).cmdline }
  assert.equal(value(snpLaunchDigest(p, launch({ firmware, kernel, vcpus: 2 }))), '7f51e17f72a04d5422cb2c00998166536019a217376f3aa45a630e59c805a599847ff250dbffcd07e1ba639771d6f05d')
})

test('the launch digests of two EC2 machines (virtee/sev-snp-measure-go)', () => {
  const sections = [memory(0x800000, 0x9000), memory(0x80a000, 0x3000), page('secrets', 0x80d000), page('cpuid', 0x80e000), memory(0x80f000, 0x11000)]
  for (const [digest, expected] of [
    ['a58211791a556a630a4319dc9e2ea96cc0e9784dd9f20a4fadf81b26c98d163fcdcb6703884bbbb80d7b1de45b3d84d0', '4c6e33087d08fa770259484dddbef367086a15c3e2cf10038dc97229d39c942671c2e22b300178f8de594a3f2fa59303'],
    ['2027a27bb9f7acfd280e4c7bd68a73973b94bf0756e5b282e004b9395f597b8d0eb4defa7d8f6549375aa4d2b146f0f3', 'c2c84b9364fc9f0f54b04534768c860c6e0e386ad98b96e8b98eca46ac8971d05c531ba48373f054c880cfd1f4a0a84e'],
  ] as const) assert.equal(value(snpLaunchDigest(p, { firmware: { digest, sections, resetEip: 0x80b004 }, vcpus: 2, vcpuSignature: 0, guestFeatures: 1, host: 'ec2' })), expected)
})

test('pages of an image, where firmware stands: below 4 GiB', () => {
  // The chain over an image of two pages, computed apart from the reader by the definition of PAGE_INFO.
  const image = snpImage()
  const extend = (digest: Uint8Array, contents: Uint8Array, address: number) => p.hash('sha384', new Uint8Array([...digest, ...p.hash('sha384', contents), 0x70, 0, 1, 0, 0, 0, 0, 0, ...little(address, 8)]))
  const expected = extend(extend(new Uint8Array(48), image.subarray(0, 4096), 0xffffe000), image.subarray(4096), 0xfffff000)
  assert.deepEqual(fromHex(value(readSnpFirmware(p, image)).digest), expected)
})

test('an image is read into its digest, sections, table of hashes and reset vector', () => {
  const firmware = value(readSnpFirmware(p, snpImage()))
  assert.deepEqual(firmware.sections, AMD_SEV.sections)
  assert.deepEqual([firmware.hashTable, firmware.resetEip], [0x810c00, 0x80b004])
  const without = value(readSnpFirmware(p, snpImage({ hashTable: undefined, reset: undefined })))
  assert.deepEqual([without.hashTable, without.resetEip], [undefined, undefined])
  assert.equal(value(readSnpFirmware(p, snpImage({ hashTable: 0 }))).hashTable, undefined)
  assert.notEqual(value(readSnpFirmware(p, snpImage({ filling: 0 }))).digest, firmware.digest)
})

test('a table that is not one of OVMF', () => {
  refused(readSnpFirmware(p, new Uint8Array()), 'evidence.parse', 'firmware')
  refused(readSnpFirmware(p, new Uint8Array(4095)), 'evidence.parse', 'firmware')
  refused(readSnpFirmware(p, new Uint8Array(4096)), 'evidence.parse', 'firmware.table')
  refused(readSnpFirmware(p, new Uint8Array((64 << 20) + 4096)), 'bytes.too-large', 'firmware')
  refused(readSnpFirmware(p, imageOf([], { footer: GUID.sev })), 'evidence.parse', 'firmware.table')
  for (const length of [0, 17, 8192]) refused(readSnpFirmware(p, imageOf([], { length })), 'evidence.parse', 'firmware.table')
  for (const length of [0, 17, 23]) refused(readSnpFirmware(p, imageOf([entry(GUID.sev, new Uint8Array(4), length)])), 'evidence.parse', 'firmware.table')
  refused(readSnpFirmware(p, imageOf([entry(GUID.sev, new Uint8Array(4))], { length: 18 + 22 + 1 })), 'bytes.truncated', 'firmware.table')
  refused(readSnpFirmware(p, imageOf([entry(GUID.sev, new Uint8Array(4)), entry(GUID.sev, new Uint8Array(4))])), 'evidence.parse', 'firmware.table')
  const many = Array.from({ length: 33 }, (_, i) => entry(`00000000-0000-0000-0000-0000000000${(16 + i).toString(16)}`, new Uint8Array()))
  refused(readSnpFirmware(p, imageOf(many)), 'bytes.too-large', 'firmware.table')
  refused(readSnpFirmware(p, imageOf(many.slice(1))), 'evidence.unsupported', 'firmware.metadata')
})

test('metadata that is not of SEV-SNP', () => {
  refused(readSnpFirmware(p, imageOf([entry(GUID.other, new Uint8Array(8))])), 'evidence.unsupported', 'firmware.metadata')
  for (const offset of [0, 31, 8193, 0xffffffff]) refused(readSnpFirmware(p, imageOf([entry(GUID.sev, little(offset, 4))])), 'evidence.parse', 'firmware.metadata')
  refused(readSnpFirmware(p, imageOf([entry(GUID.sev, little(METADATA_FROM_END, 8))])), 'bytes.trailing')
  const changes: [SevChange, RefusalCode][] = [[{ signature: 'ASEW' }, 'evidence.parse'], [{ version: 2 }, 'evidence.version'], [{ version: 0 }, 'evidence.version'], [{ size: 16 }, 'evidence.parse'], [{ count: 65, size: 16 + 12 * 65 }, 'evidence.parse']]
  for (const [metadata, code] of changes) refused(readSnpFirmware(p, snpImage({ metadata })), code, 'firmware.metadata')
  refused(readSnpFirmware(p, snpImage({ sections: [[0, 4096, 5]] })), 'evidence.unsupported', 'firmware.metadata[0]')
  refused(readSnpFirmware(p, imageOf([entry(GUID.sev, little(METADATA_FROM_END, 4)), entry(GUID.reset, new Uint8Array(8))], { metadata: sevMetadata([]) })), 'bytes.trailing')
  refused(readSnpFirmware(p, imageOf([entry(GUID.sev, little(METADATA_FROM_END, 4)), entry(GUID.hashTable, new Uint8Array(4))], { metadata: sevMetadata([]) })), 'bytes.truncated')
})

test('a launch that firmware cannot make', () => {
  refused(snpLaunchDigest(p, launch({ firmware: { ...OVMF_X64, digest: AMD_SEV.digest }, kernel: empty() })), 'evidence.unsupported', 'kernel')
  const { hashTable: _, ...noTable } = AMD_SEV
  refused(snpLaunchDigest(p, launch({ firmware: noTable, kernel: empty() })), 'evidence.unsupported', 'kernel')
  assert.ok(snpLaunchDigest(p, launch({ firmware: noTable })).ok)
  const { resetEip: __, ...noReset } = AMD_SEV
  refused(snpLaunchDigest(p, launch({ firmware: noReset, vcpus: 2 })), 'evidence.unsupported', 'vcpus')
  assert.ok(snpLaunchDigest(p, launch({ firmware: noReset })).ok)
})

test('numbers out of range', () => {
  for (const vcpus of [0, -1, 1.5, 4097, Number.NaN]) refused(snpLaunchDigest(p, launch({ vcpus })), 'evidence.parse', 'vcpus')
  for (const guestFeatures of [0, 2, -1, 1.5, 0x1_0000_0001]) refused(snpLaunchDigest(p, launch({ guestFeatures })), 'evidence.parse', 'guestFeatures')
  for (const vcpuSignature of [-1, 1.5, 0x1_0000_0000]) refused(snpLaunchDigest(p, launch({ vcpuSignature })), 'evidence.parse', 'vcpuSignature')
  const { vcpuSignature: _, ...unsigned } = launch()
  refused(snpLaunchDigest(p, unsigned), 'evidence.parse', 'vcpuSignature')
  assert.deepEqual(snpLaunchDigest(p, { ...unsigned, host: 'gce' }), snpLaunchDigest(p, { ...unsigned, host: 'gce', vcpuSignature: 0x600 }))
  for (const digest of ['', 'ff', 'F'.repeat(96), 'g'.repeat(96)]) refused(snpLaunchDigest(p, launch({ firmware: { ...AMD_SEV, digest } })), 'evidence.parse', 'firmware.digest')
  for (const part of ['kernel', 'initrd', 'cmdline'] as const) refused(snpLaunchDigest(p, launch({ kernel: { ...empty(), [part]: '00' } })), 'evidence.parse', `kernel.${part}`)
})

test('sections that cannot be measured', () => {
  const sections = (...more: SnpSection[]) => launch({ firmware: { ...AMD_SEV, sections: [...AMD_SEV.sections, ...more] } })
  assert.ok(snpLaunchDigest(p, sections(memory(0, 0), memory(0x820000, 0x1000))).ok)
  refused(snpLaunchDigest(p, sections(memory(0x820000, 0x1001))), 'evidence.parse', 'firmware.sections[7]')
  refused(snpLaunchDigest(p, sections(memory(0x820001, 0x1000))), 'evidence.parse', 'firmware.sections[7]')
  refused(snpLaunchDigest(p, sections(memory(0x81f000, 0x1000))), 'evidence.parse', 'firmware.sections')
  refused(snpLaunchDigest(p, sections(page('secrets', 0x900000))), 'evidence.parse', 'firmware.sections.secrets')
  refused(snpLaunchDigest(p, launch({ firmware: { ...AMD_SEV, sections: [{ kind: 'cpuid', address: 0, size: 0x2000 }] } })), 'evidence.parse', 'firmware.sections.cpuid')
  refused(snpLaunchDigest(p, sections(memory(0x1000000, 0x1000_0000))), 'bytes.too-large', 'firmware.sections')
  refused(snpLaunchDigest(p, launch({ firmware: { ...AMD_SEV, sections: Array.from({ length: 65 }, () => memory(0, 0)) } })), 'bytes.too-large', 'firmware.sections')
  for (const hashTable of [0x810f51, 0x811000, 0x80ffff]) refused(snpLaunchDigest(p, launch({ kernel: empty(), firmware: { ...AMD_SEV, hashTable } })), 'evidence.parse', 'firmware.hashTable')
  assert.ok(snpLaunchDigest(p, launch({ kernel: empty(), firmware: { ...AMD_SEV, hashTable: 0x810f50 } })).ok)
})

test('everything that is launched moves the digest', () => {
  const base = launch({ kernel: empty(), vcpus: 2 })
  const shorter = { ...AMD_SEV, sections: AMD_SEV.sections.slice(0, -1) }
  const changes: Partial<SnpLaunch>[] = [
    { vcpus: 3 }, { guestFeatures: 0x21 }, { vcpuSignature: cpuSignature('EPYC-Milan') }, { host: 'ec2' }, { host: 'gce' }, { kernel: empty('x') }, { kernel: kernelHashes(p, utf8('k')) }, { kernel: kernelHashes(p, new Uint8Array(), utf8('i')) },
    { firmware: shorter }, { firmware: { ...AMD_SEV, resetEip: 0x80b008 } }, { firmware: { ...AMD_SEV, hashTable: 0x810800 } }, { firmware: { ...AMD_SEV, digest: '00'.repeat(48) } }, { firmware: { ...AMD_SEV, sections: AMD_SEV.sections.toReversed() } },
  ]
  const digests = [base, ...changes.map(change => ({ ...base, ...change }))].map(one => value(snpLaunchDigest(p, one)))
  assert.equal(new Set(digests).size, digests.length)
})

test('signatures of virtual CPUs (AMD CPUID Specification)', () => {
  assert.equal(signatureOf(23, 1, 2), 0x800f12)
  assert.equal(cpuSignature('EPYC-Rome'), 0x830f10)
  assert.equal(cpuSignature('EPYC-Milan'), 0xa00f11)
  assert.equal(cpuSignature('EPYC-Genoa-v1'), 0xa10f10)
  assert.equal(cpuSignature('EPYC-Turin'), 0xb00f00)
  assert.equal(signatureOf(6, 0x3f, 2), 0x306f2)
  for (const name of ['EPYC-v5', 'constructor', '']) refused(attempt(() => cpuSignature(name)), 'evidence.unsupported', 'vcpuType')
})

test('no bytes make the reader of firmware fail otherwise than by a refusal', () => {
  const image = snpImage()
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: image.length - METADATA_FROM_END, max: image.length - 1 }), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }), changes => {
    const altered = image.slice()
    for (const [at, byte] of changes) altered[at] = byte
    const result = readSnpFirmware(p, altered)
    if (result.ok) snpLaunchDigest(p, launch({ firmware: result.value }))
  }), { numRuns: 300 })
})
