/**
 * A store in memory: for the simulation and for tests, never for a service. Several views may stand on one `Disk`, like
 * processes on one file, and a disk can be copied and set back, as a hostile host would.
 */
import type { Entry, Range, Store, Tx, Written } from './store.ts'
import { checkEntry, checkSum, checkTag, corrupt, EMPTY_HEAD, moveSum, tagOf, type Head } from './tags.ts'

/** What would be on the disk. `entries` and `head` are replaced as a whole by every write. */
export interface Disk { head: Head; entries: ReadonlyMap<string, { readonly value: Uint8Array; readonly tag: Uint8Array }> }

export const emptyDisk = (): Disk => ({ head: EMPTY_HEAD, entries: new Map() })

export function openMemoryStore(disk: Disk, key: Uint8Array): Store {
  let open = true
  const need = () => { if (!open) corrupt('store', 'an open store', 'closed') }
  const read = (entries: Disk['entries'], name: string) => {
    const entry = entries.get(name)
    if (entry !== undefined) checkTag(key, name, entry.value, entry.tag)
    return entry
  }
  const list = ({ prefix, after = '', limit = Infinity }: Range): Entry[] => [...disk.entries.keys()]
    .filter(name => name.startsWith(prefix) && name > after).sort().slice(0, limit)
    .map(name => ({ key: name, value: read(disk.entries, name)?.value ?? new Uint8Array(0) }))
  return {
    version: () => { need(); return disk.head.version },
    get: name => { need(); checkEntry(name); return read(disk.entries, name)?.value },
    list: range => { need(); return list(range) },
    load: namespace => {
      need()
      const entries = list({ prefix: `${namespace}/` })
      checkSum(disk.head, namespace, key, entries)
      return { version: disk.head.version, entries }
    },
    write: <T>(at: number | undefined, body: (tx: Tx) => T): Written<T> => {
      need()
      if (at !== undefined && at !== disk.head.version) return { moved: true }
      const changed = overlay(disk, key, read)
      const value = body(changed.tx)
      const version = disk.head.version + (at === undefined ? 0 : 1)
      changed.settle(version)
      return { moved: false, value, version }
    },
    close: () => { open = false },
  }
}

function overlay(disk: Disk, key: Uint8Array, read: (entries: Disk['entries'], name: string) => { value: Uint8Array; tag: Uint8Array } | undefined) {
  const pending = new Map<string, { value: Uint8Array; tag: Uint8Array } | undefined>()
  const current = (name: string) => (pending.has(name) ? pending.get(name) : read(disk.entries, name))
  const tx: Tx = {
    get: name => current(name)?.value,
    put: (name, value) => {
      checkEntry(name, value)
      pending.set(name, { value: value.slice(), tag: tagOf(key, name, value) })
    },
    delete: name => { pending.set(name, undefined) },
  }
  const settle = (version: number) => {
    const entries = new Map(disk.entries)
    let head = disk.head
    for (const [name, after] of pending) {
      const before = entries.get(name)
      if (before === undefined && after === undefined) continue
      head = moveSum(head, name, before?.tag, after?.tag)
      if (after === undefined) entries.delete(name)
      else entries.set(name, after)
    }
    disk.entries = entries
    disk.head = { ...head, version }
  }
  return { tx, settle }
}
