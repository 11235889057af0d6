/**
 * A store in memory: for the simulation and for tests, never for a service. Several views may stand on one `Disk`, like
 * processes on one file, and a disk can be copied and set back, as a hostile host would.
 */
import type { Batch, Entry, Range, Store, Written } from './store.ts'
import { checkBatch, checkEntry, checkSum, checkTag, corrupt, EMPTY_HEAD, isExpected, moveSum, tagOf, type Head } from './tags.ts'

interface Kept { readonly value: Uint8Array; readonly tag: Uint8Array }
/** What would be on the disk. `entries` and `head` are replaced as a whole by every write. */
export interface Disk { head: Head; entries: ReadonlyMap<string, Kept> }

export const emptyDisk = (): Disk => ({ head: EMPTY_HEAD, entries: new Map() })

export function openMemoryStore(disk: Disk, key: Uint8Array): Store {
  return new MemoryStore(disk, key)
}

/** Under which key an entry's tag was found right; an entry on a disk is replaced, never changed. */
const checked = new WeakMap<Kept, Uint8Array>()

class MemoryStore implements Store {
  readonly #disk: Disk
  readonly #key: Uint8Array
  #open = true

  constructor(disk: Disk, key: Uint8Array) {
    this.#disk = disk
    this.#key = key
  }

  async version(): Promise<number> {
    this.#need()
    return this.#disk.head.version
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    this.#need()
    checkEntry(name)
    return this.#read(name)?.value
  }

  async list(range: Range): Promise<Entry[]> {
    this.#need()
    return this.#list(range)
  }

  async load(namespace: string): Promise<{ version: number; entries: Entry[] }> {
    this.#need()
    const entries = this.#list({ prefix: `${namespace}/` })
    checkSum(this.#disk.head, namespace, this.#key, entries)
    return { version: this.#disk.head.version, entries }
  }

  async write(batch: Batch): Promise<Written> {
    this.#need()
    checkBatch(batch)
    const { at, expect = [], put = [] } = batch
    if (at !== undefined && at !== this.#disk.head.version) return { moved: true }
    if (expect.some(({ key, value }) => !isExpected(value, this.#read(key)?.value))) return { moved: true }
    const entries = new Map(this.#disk.entries)
    let head = this.#disk.head
    const set = (name: string, after: Kept | undefined) => {
      const before = this.#read(name)
      if (before === undefined && after === undefined) return
      head = moveSum(head, name, before?.tag, after?.tag)
      if (after === undefined) entries.delete(name)
      else entries.set(name, after)
    }
    for (const { key, value } of put) set(key, { value: value.slice(), tag: tagOf(this.#key, key, value) })
    for (const name of batch.delete ?? []) set(name, undefined)
    this.#disk.entries = entries
    this.#disk.head = at === undefined ? head : { ...head, version: at + 1 }
    return { moved: false, version: this.#disk.head.version }
  }

  async close(): Promise<void> {
    this.#open = false
  }

  #need(): void {
    if (!this.#open) corrupt('store', 'an open store', 'closed')
  }

  #read(name: string): Kept | undefined {
    const entry = this.#disk.entries.get(name)
    if (entry === undefined || checked.get(entry) === this.#key) return entry
    checkTag(this.#key, name, entry.value, entry.tag)
    checked.set(entry, this.#key)
    return entry
  }

  #list({ prefix, after = '', limit = Infinity }: Range): Entry[] {
    return [...this.#disk.entries.keys()].filter(name => name.startsWith(prefix) && name > after).sort().slice(0, limit)
      .map(name => ({ key: name, value: this.#read(name)?.value ?? new Uint8Array(0) }))
  }
}
