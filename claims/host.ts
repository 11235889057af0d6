/**
 * What root on the host sees of a run, outside the guest's memory: files on disk and in shared memory (those that changed
 * since the run began), arguments and environments of all processes, and what the descriptors of processes lead to, files
 * without a name included. Of a guest, files without a name in memory are its memory; everything else is the host's.
 *
 * It reads no memory: on simulated silicon root could, and THREATS.md says so. Bytes under way in sockets and pipes are not
 * seen here; whoever runs the road records every message that passes and puts the record where this looks.
 */
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statfsSync, statSync, type Stats } from 'node:fs'
import { join, sep } from 'node:path'
import type { Finding } from './claim.ts'
import type { Needles } from './needles.ts'

const TMPFS = 0x01021994
const FILE_BYTES_MAX = 512 * 1024 * 1024
const PIECE = 4 * 1024 * 1024
const OVERLAP = 8192

export interface HostOptions {
  readonly needles: Needles
  /** Folders to search. */
  readonly roots: readonly string[]
  /** Not the host's: the owners' own machines. */
  readonly except: string
  /** Only files changed at or after this time (milliseconds). */
  readonly since: number
}

/** Sweeps again and again over the same host; unchanged files are read once. */
export class Host {
  readonly looked = { sweeps: 0, files: 0, bytes: 0, processes: 0, descriptors: 0, 'unreadable processes': 0 }
  readonly findings = new Map<string, Finding>()
  readonly #seen = new Map<string, string>()
  readonly #processes = new Set<number>()
  readonly #closed = new Set<number>()
  readonly #older = new Set(pids())
  readonly #options: HostOptions

  constructor(options: HostOptions) {
    this.#options = options
  }

  /**
   * Look everywhere once. The process `guest` and its descendants are the guest. While something runs, installed packages
   * are passed over, which are most of all files and would make looks rare; the `last` look goes into them as well.
   */
  sweep(guest: number | undefined, last = false): void {
    this.looked.sweeps++
    this.#sweepProcesses(guest)
    for (const root of this.#options.roots) this.#sweepFolder(root, last)
  }

  #sweepProcesses(guestRoot: number | undefined): void {
    const parents = new Map(pids().map(pid => [pid, parentOf(pid)]))
    for (const pid of parents.keys()) {
      if (pid === process.pid) continue
      const guest = guestRoot !== undefined && (pid === guestRoot || descends(pid, guestRoot, parents))
      this.#processes.add(pid)
      for (const part of ['cmdline', 'environ', 'comm'] as const) this.#text(pid, `/proc/${pid}/${part}`, `${part} of process ${pid}${guest ? ' (guest)' : ''}`)
      this.#sweepDescriptors(pid, guest)
    }
    this.looked.processes = this.#processes.size
  }

  #sweepDescriptors(pid: number, guest: boolean): void {
    for (const fd of list(`/proc/${pid}/fd`)) {
      const path = `/proc/${pid}/fd/${fd}`
      const target = attemptRead(() => readlinkSync(path))
      const stats = attemptRead(() => statSync(path))
      if (target === undefined || stats === undefined || !stats.isFile() || this.#foreign(target)) continue
      if (guest && stats.nlink === 0 && isMemory(path)) continue
      this.looked.descriptors++
      this.#file(path, stats, `descriptor of process ${pid}${guest ? ' (guest)' : ''}: ${target}`)
    }
  }

  #sweepFolder(folder: string, packages: boolean): void {
    if (this.#foreign(folder) || (!packages && folder.endsWith('/node_modules'))) return
    for (const name of list(folder)) {
      const path = join(folder, name)
      const stats = attemptRead(() => lstatSync(path))
      if (stats?.isDirectory() === true) this.#sweepFolder(path, packages)
      else if (stats?.isFile() === true) this.#file(path, stats, path)
      this.#judge(Buffer.from(name), `file name in ${folder}`)
    }
  }

  #file(path: string, stats: Stats, where: string): void {
    const state = `${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}`
    const id = `${stats.dev}:${stats.ino}`
    if (Math.max(stats.mtimeMs, stats.ctimeMs) < this.#options.since || stats.size > FILE_BYTES_MAX || this.#seen.get(id) === state) return
    this.#seen.set(id, state)
    this.looked.files++
    attemptRead(() => this.#pieces(path, where))
  }

  #pieces(path: string, where: string): void {
    const fd = openSync(path, 'r')
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE, FILE_BYTES_MAX))
      for (let at = 0; at < FILE_BYTES_MAX;) {
        const got = readSync(fd, piece, 0, piece.length, at)
        if (got <= 0) return
        this.#judge(piece.subarray(0, got), where)
        if (got < piece.length) return
        at += got - OVERLAP
      }
    } finally {
      closeSync(fd)
    }
  }

  #text(pid: number, path: string, where: string): void {
    try {
      this.#judge(readFileSync(path), where)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : ''
      // What ran before the run began was started with nothing of it: only newer processes could hide something here.
      if ((code === 'EACCES' || code === 'EPERM') && !this.#older.has(pid)) this.#closed.add(pid)
      this.looked['unreadable processes'] = this.#closed.size
    }
  }

  #judge(bytes: Buffer, where: string): void {
    this.looked.bytes += bytes.length
    for (const hit of this.#options.needles.find(bytes)) this.findings.set(`${hit.what} ${where}`, { ...hit, where })
  }

  #foreign(path: string): boolean {
    return path === this.#options.except || path.startsWith(`${this.#options.except}${sep}`)
  }
}

function descends(pid: number, root: number, parents: ReadonlyMap<number, number>): boolean {
  for (let at = parents.get(pid); at !== undefined && at > 1; at = parents.get(at)) if (at === root) return true
  return false
}

const pids = () => list('/proc').filter(name => /^\d+$/.test(name)).map(Number)

function parentOf(pid: number): number {
  const text = attemptRead(() => readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? ''
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1] ?? 0)
}

const list = (folder: string): string[] => attemptRead(() => readdirSync(folder)) ?? []
const isMemory = (path: string) => attemptRead(() => statfsSync(path).type) === TMPFS

/** Files and processes come and go while we look: what is gone cannot be read. */
function attemptRead<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
