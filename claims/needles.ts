/**
 * Secrets to look for, in the forms in which they could lie about: as text, upper and lower case, UTF-16, hex, base64 at
 * each of its three alignments. One pass over the bytes finds all of them.
 */
export interface Hit { readonly what: string; readonly encoding: string }
interface Needle extends Hit { readonly bytes: Buffer }

const LENGTH_MIN = 8
const FILTER_BITS = 20

export class Needles {
  readonly #byStart = new Map<number, Needle[]>()
  readonly #filter = new Uint8Array(1 << FILTER_BITS)
  #size = 0

  /** How many byte strings are looked for. */
  get size(): number {
    return this.#size
  }

  /** Look for a text (a name, a key in its text form) in all its forms. */
  addText(what: string, text: string): void {
    this.#add(what, 'text', Buffer.from(text))
    if (text.toLowerCase() !== text) this.#add(what, 'lower case', Buffer.from(text.toLowerCase()))
    if (text.toUpperCase() !== text) this.#add(what, 'upper case', Buffer.from(text.toUpperCase()))
    this.#add(what, 'UTF-16', Buffer.from(text, 'utf16le'))
    this.addBytes(what, Buffer.from(text))
  }

  /** Look for bytes (a raw key): hex and base64; as they are, too, when `raw`. */
  addBytes(what: string, bytes: Buffer, raw = false): void {
    if (raw) this.#add(what, 'bytes', bytes)
    this.#add(what, 'hex', Buffer.from(bytes.toString('hex')))
    for (const before of [0, 1, 2]) this.#add(what, 'base64', aligned(bytes, before))
  }

  /** What of it stands in these bytes; each secret once. */
  find(bytes: Buffer): Hit[] {
    const found = new Map<string, Hit>()
    const last = bytes.length - LENGTH_MIN
    for (let at = 0; at <= last; at++) {
      const start = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)
      if (this.#filter[slot(start)] === 0) continue
      for (const needle of this.#byStart.get(start) ?? []) {
        if (bytes.compare(needle.bytes, 0, needle.bytes.length, at, Math.min(bytes.length, at + needle.bytes.length)) === 0) found.set(needle.what, { what: needle.what, encoding: needle.encoding })
      }
    }
    return [...found.values()]
  }

  #add(what: string, encoding: string, bytes: Buffer): void {
    if (bytes.length < LENGTH_MIN) return
    const start = bytes.readInt32LE(0)
    this.#byStart.set(start, [...(this.#byStart.get(start) ?? []), { what, encoding, bytes }])
    this.#filter[slot(start)] = 1
    this.#size++
  }
}

const slot = (start: number) => Math.imul(start, 0x9e3779b1) >>> (32 - FILTER_BITS)

/** The part of the base64 text that is the same whatever stands before and after the bytes. */
function aligned(bytes: Buffer, before: number): Buffer {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64').replaceAll('=', '')
  const sure = Math.floor((before + bytes.length) * 8 / 6)
  return Buffer.from(text.slice(Math.ceil(before * 8 / 6), sure))
}
