/** The extension with which Google's certificates name an instance, for tests. */
import { der, derInteger, derSequence, TAG } from '../../bytes/der.ts'
import { fromHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'

export const explicit = (tag: number, value: Uint8Array): Uint8Array => der(0xa0 + tag, value)
const flag = (value: boolean) => der(TAG.boolean, new Uint8Array([value ? 255 : 0]))
export const security = (production: boolean): Uint8Array => explicit(0, derSequence(explicit(0, derInteger(new Uint8Array([0]))), explicit(1, flag(production)), explicit(2, flag(true))))
export const text = (value: string): Uint8Array => der(TAG.utf8String, utf8(value))
export const instance = (...tail: Uint8Array[]): Uint8Array => derSequence(text('zone'), derInteger(fromHex('0534efdffed3')), text('project'), derInteger(fromHex('6f7dda3ab6845984')), text('name'), ...tail)
