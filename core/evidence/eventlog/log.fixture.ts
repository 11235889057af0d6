/** Event logs for tests: written from a list of events, with digests of the data unless another is given. */
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { sha1 } from '../../crypto/ocsp.ts'
import { portable as p } from '../../crypto/portable.ts'
import { DIGEST_BYTES, type Bank } from './log.ts'

export const hashIn = (bank: Bank) => (data: Uint8Array): Uint8Array => (bank === 'sha1' ? sha1(data) : p.hash(bank, data))

export interface Planned {
  readonly index: number
  readonly type: number
  readonly data: Uint8Array
  /** What the digest is of, when it is not the data. */
  readonly measured?: Uint8Array
  readonly digest?: Uint8Array
}
export const IDS: Record<Bank, number> = { sha1: 4, sha256: 11, sha384: 12, sha512: 13 }

export const le = (value: number, bytes: number): Uint8Array => new Uint8Array(Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256))
export const sized = (data: Uint8Array): Uint8Array => concat(le(data.length, 4), data)
export const utf16 = (text: string): Uint8Array => concat(...[...text].map(sign => le(sign.charCodeAt(0), 2)))

/** TCG_PCR_EVENT with the specification identifier of these algorithms (id and size). */
export function specId(algorithms: readonly (readonly [number, number])[], change: { version?: number; uintn?: number; count?: number; tail?: Uint8Array; index?: number; digest?: Uint8Array } = {}): Uint8Array {
  const data = concat(utf8('Spec ID Event03\0'), le(0, 4), new Uint8Array([0, change.version ?? 2, 0, change.uintn ?? 2]), le(change.count ?? algorithms.length, 4), ...algorithms.map(([id, size]) => concat(le(id, 2), le(size, 2))), new Uint8Array([0]), change.tail ?? new Uint8Array())
  return concat(le(change.index ?? 0, 4), le(3, 4), change.digest ?? new Uint8Array(20), sized(data))
}

export const standardSpec = (banks: readonly Bank[]): Uint8Array => specId(banks.map(bank => [IDS[bank], DIGEST_BYTES[bank]] as const))

/** TCG_PCR_EVENT2. */
export function agile(event: Planned, banks: readonly Bank[]): Uint8Array {
  const digests = banks.map(bank => concat(le(IDS[bank], 2), event.digest ?? hashIn(bank)(event.measured ?? event.data)))
  return concat(le(event.index, 4), le(event.type, 4), le(banks.length, 4), ...digests, sized(event.data))
}

export const legacy = (event: Planned): Uint8Array => concat(le(event.index, 4), le(event.type, 4), event.digest ?? hashIn('sha1')(event.measured ?? event.data), sized(event.data))

export const logOf = (events: readonly Planned[], banks: readonly Bank[] = ['sha256']): Uint8Array => concat(standardSpec(banks), ...events.map(event => agile(event, banks)))

export const GLOBAL_GUID = new Uint8Array([0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0, 0xe0, 0x98, 0x03, 0x2b, 0x8c])
export const DATABASE_GUID = new Uint8Array([0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f])
export const variable = (guid: Uint8Array, name: string, value: Uint8Array): Uint8Array => concat(guid, le(name.length, 8), le(value.length, 8), utf16(name), value)

export const SEPARATOR = new Uint8Array(4)
const secureBoot = (on: boolean) => variable(GLOBAL_GUID, 'SecureBoot', new Uint8Array([on ? 1 : 0]))

/** What a machine with a unified kernel image measures, small: registers 0, 4, 7, 11 and 12. */
export function bootOf(change: { secure?: boolean } = {}): Planned[] {
  return [
    { index: 0, type: 3, data: concat(utf8('StartupLocality\0'), new Uint8Array([3])) },
    { index: 0, type: 8, data: utf16('version 1') },
    { index: 7, type: 0x80000001, data: secureBoot(change.secure ?? true) },
    { index: 7, type: 0x80000001, data: variable(GLOBAL_GUID, 'PK', utf8('platform key')) },
    { index: 7, type: 0x80000001, data: variable(DATABASE_GUID, 'db', utf8('allowed')) },
    { index: 1, type: 0x80000002, data: variable(GLOBAL_GUID, 'BootOrder', new Uint8Array([1, 0])), measured: new Uint8Array([1, 0]) },
    { index: 4, type: 0x80000007, data: utf8('Calling EFI Application from Boot Option') },
    ...[0, 1, 4, 7].map(index => ({ index, type: 4, data: SEPARATOR })),
    { index: 7, type: 0x800000e0, data: variable(DATABASE_GUID, 'db', utf8('signer')) },
    { index: 4, type: 0x80000003, data: utf8('device path'), measured: utf8('the image') },
    { index: 8, type: 0xd, data: utf8('kernel_cmdline: root=/dev/x\0'), measured: utf8('root=/dev/x') },
    { index: 11, type: 0xd, data: utf16('.linux\0'), measured: utf8('.linux\0') },
    { index: 11, type: 0xd, data: utf16('.linux\0'), measured: utf8('the kernel') },
    { index: 12, type: 0xd, data: utf16('quiet\0') },
    { index: 9, type: 6, data: concat(le(0x8f3b22ed, 4), sized(utf8('LOADED_IMAGE::LoadOptions\0'))), measured: utf8('LOADED_IMAGE::LoadOptions\0') },
  ]
}
