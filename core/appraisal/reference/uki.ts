/**
 * A unified kernel image (UAPI Group Specification 5) and what systemd-stub makes of it: which sections it measures into
 * PCR 11 and in which order, the command line and the initrd that it hands to the kernel (systemd src/boot/stub.c,
 * cpio.c, src/fundamental/uki.h). Customs of the stub changed with its versions: only those are known here whose
 * measurements were compared with real boots. Trusts nothing.
 */
import { concat } from '../../bytes/bytes.ts'
import { fromUtf8, utf8 } from '../../bytes/text.ts'
import { refuse } from '../../refusal.ts'
import { readPe, type PeImage } from './pe.ts'

export interface Uki {
  readonly image: PeImage
  /** Version of systemd-stub, as the image says: one of `STUB_VERSIONS`. */
  readonly stub: number
  /** Sections that the stub knows, by name. */
  readonly sections: ReadonlyMap<string, Uint8Array>
}

/** Versions of systemd-stub whose measurements were seen to be as predicted. */
export const STUB_VERSIONS: readonly number[] = [252, 257, 262]

/** The canonical order of measurement; `.pcrsig` signs the result and is not measured. */
const ORDER = ['.linux', '.osrel', '.cmdline', '.initrd', '.ucode', '.splash', '.dtb', '.uname', '.sbat', '.pcrpkey'] as const
const OLD_ORDER = ORDER.filter(name => name !== '.ucode' && name !== '.uname' && name !== '.sbat')
/** Chosen when the machine boots, by its hardware or by an argument. */
const CHOSEN_AT_BOOT = ['.profile', '.dtbauto', '.hwids', '.efifw']
const KNOWN: readonly string[] = [...ORDER, '.pcrsig']

/** The unified kernel image in this file. Leaves with `evidence.parse`, `evidence.unsupported` or `bytes.*`. */
export function readUki(file: Uint8Array, at = 'uki'): Uki {
  const image = readPe(file, at)
  const sections = new Map<string, Uint8Array>()
  for (const { name, content } of image.sections) {
    if (CHOSEN_AT_BOOT.includes(name)) refuse('evidence.unsupported', `${at}.${name}`, 'sections that are the same on every machine', name, 'build one image for each profile or device')
    if (!KNOWN.includes(name)) continue
    if (sections.has(name)) refuse('evidence.parse', `${at}.${name}`, 'the section once', 'twice')
    if (content.length > 0) sections.set(name, content)
  }
  if (!sections.has('.linux')) refuse('evidence.parse', at, 'a unified kernel image with a section .linux', 'none')
  return { image, stub: stubVersion(image, at), sections }
}

/** The sections that the stub measures, in the order in which it does. */
export function measuredSections(uki: Uki): readonly { readonly name: string; readonly content: Uint8Array }[] {
  return (uki.stub === 252 ? OLD_ORDER : ORDER).flatMap(name => {
    const content = uki.sections.get(name)
    return content === undefined ? [] : [{ name, content }]
  })
}

/** Does the stub load the kernel through firmware, which then measures it a second time? */
export const measuresKernel = (uki: Uki): boolean => uki.stub < 258

const MAGIC = /^#### LoaderInfo: systemd-stub (\d{3})(?:[.~-][.~\-0-9a-z+]{0,64})? ####\0*$/

function stubVersion(image: PeImage, at: string): number {
  const [magic, more] = image.sections.filter(one => one.name === '.sdmagic')
  if (magic === undefined || more !== undefined || magic.content.length > 256) return refuse('evidence.unsupported', `${at}.sdmagic`, 'an image made with systemd-stub', magic === undefined ? 'no .sdmagic' : 'another .sdmagic')
  const version = Number(MAGIC.exec(fromUtf8(magic.content, `${at}.sdmagic`))?.[1])
  return STUB_VERSIONS.includes(version) ? version : refuse('evidence.unsupported', `${at}.sdmagic`, `systemd-stub ${STUB_VERSIONS.join(', ')}`, Number.isNaN(version) ? 'another text' : String(version), 'measure a boot of this version, compare, and add it')
}

/**
 * The command line as the stub hands it on: cut at the first NUL, white space trimmed, control characters as spaces.
 * Undefined where the image has none. Leaves with `evidence.unsupported` where a machine decides what is added.
 */
export function commandLineOf(uki: Uki, at = 'uki.cmdline'): string | undefined {
  const section = uki.sections.get('.cmdline')
  if (section === undefined) return undefined
  const text = fromUtf8(section.subarray(0, section.includes(0) ? section.indexOf(0) : section.length), at)
  const line = [...text].map(sign => (sign <= ' ' || sign === '\x7f' ? ' ' : sign)).join('').replace(/^ +| +$/g, '')
  if (uki.stub >= 258 && !/(?:^| )console=/.test(line)) refuse('evidence.unsupported', at, 'a console= in the command line', line, 'name a console: without one this stub adds what the machine has')
  return line
}

/**
 * The initrd as the kernel gets it: sections and the small archives that the stub makes of others, each padded to 4 bytes
 * when there are several. Undefined where there is none.
 */
export function initrdOf(uki: Uki, at = 'uki.initrd'): Uint8Array | undefined {
  const parts = uki.stub === 252 ? oldParts(uki, at) : newParts(uki)
  const [only, ...others] = parts
  if (only === undefined || others.length === 0) return only
  return concat(...parts.flatMap(part => [part, new Uint8Array(-part.length & 3)]))
}

function oldParts(uki: Uki, at: string): Uint8Array[] {
  for (const name of ['.pcrsig', '.pcrpkey']) if (uki.sections.has(name)) refuse('evidence.unsupported', at, `systemd-stub 252 without ${name}`, name, 'use a newer stub')
  return present(uki, '.initrd')
}

const EXTRA = [['.pcrsig', 'tpm2-pcr-signature.json'], ['.pcrpkey', 'tpm2-pcr-public-key.pem'], ['.osrel', 'os-release']] as const
const newParts = (uki: Uki): Uint8Array[] => [...present(uki, '.ucode'), ...present(uki, '.initrd'), ...EXTRA.flatMap(([name, file]) => present(uki, name).map(content => extraArchive(file, content)))]

function present(uki: Uki, name: string): Uint8Array[] {
  const content = uki.sections.get(name)
  return content === undefined ? [] : [content]
}

/** A cpio archive (newc) of one file in `.extra`, as the stub writes it: directory 1, file 2, trailer. */
function extraArchive(name: string, content: Uint8Array): Uint8Array {
  return concat(record(1, 0o40555, '.extra'), record(2, 0o100444, `.extra/${name}`, content), utf8(`070701${'0'.repeat(32)}00000001${'0'.repeat(48)}0000000B${'0'.repeat(8)}TRAILER!!!\0\0\0\0`))
}

function record(inode: number, mode: number, path: string, content: Uint8Array = new Uint8Array()): Uint8Array {
  const word = (value: number) => value.toString(16).padStart(8, '0')
  const header = utf8(`070701${[inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length + 1, 0].map(word).join('')}${path}\0`)
  return concat(header, new Uint8Array(-header.length & 3), content, new Uint8Array(-content.length & 3))
}
