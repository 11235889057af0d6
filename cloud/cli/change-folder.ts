/**
 * Change requests on disk: `changes/<epoch>-<digest>/` beside the charter. Reads only plain files of bounded size and
 * hands them to `change.ts`, which verifies each; what is no file of a change request (a link, another folder) is refused.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Act } from '@cloister/core/charter/acts'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { ACT_FOLDERS, actFile, changeName, documentsOf, LIMITS, readChange, readPast, standingOf, type ChangeRequest } from './change.ts'
import { openFolder, readBytes, type CharterFolder } from './folder.ts'

/** A change request, where it lies, and the folder of the charter it belongs to. */
export interface OpenChange extends ChangeRequest { readonly path: string; readonly home: string }

/** Where a charter's folder keeps its change requests. */
export const changesOf = (home: string): string => join(home, 'changes')
const pathOf = (home: string, epoch: number, digest: Hash) => join(changesOf(home), changeName(epoch, digest))

/**
 * The change request that a path means: its own directory, or a charter (file or folder) whose change request lies beside
 * it. Every file in it is verified. Leaves with `charter.change` or `charter.act`.
 */
export function openChange(path: string): OpenChange {
  return openWith(readChange, path)
}

/** The same for a change that is history: whatever another version wrote into its CHANGE.md. */
const openPast = (path: string): OpenChange => openWith(readPast, path)

function openWith(read: typeof readChange, path: string): OpenChange {
  if (isChange(path)) return readFolder(read, path, dirname(dirname(resolve(path))))
  const from = openFolder(path)
  const at = changeAt(from) ?? refuse('charter.change', changeName(from.charter.epoch, from.digest), `the change request of ${from.file}`, 'none', `cloister propose ${path}`)
  return readFolder(read, at, from.folder)
}

/** Is this the directory of a change request? */
export const isChange = (path: string): boolean => existsSync(join(path, 'change.json'))

/** Where the change request of a charter lies, or undefined when it was not proposed here. */
export function changeAt({ folder, charter, digest }: CharterFolder): string | undefined {
  const at = pathOf(folder, charter.epoch, digest)
  return existsSync(at) ? at : undefined
}

function readFolder(read: typeof readChange, path: string, home: string): OpenChange {
  const change = orRefuse(read(p, filesOf(path)))
  const name = changeName(change.next.epoch, change.digest)
  if (basename(resolve(path)) !== name) refuse('charter.change', path, `a folder named ${name}`, basename(resolve(path)), 'the name says epoch and digest: rename it')
  return { ...change, path, home }
}

function filesOf(path: string): Map<string, string> {
  const files = new Map<string, string>()
  for (const entry of namesIn(path)) {
    const at = join(path, entry)
    if (isActFolder(entry) && lstatSync(at).isDirectory()) for (const act of namesIn(at)) files.set(`${entry}/${act}`, textOf(join(at, act)))
    else files.set(entry, textOf(at))
    if (files.size > LIMITS.files) refuse('charter.change', path, `at most ${LIMITS.files} files`, 'more')
  }
  return files
}

const isActFolder = (name: string) => (Object.values(ACT_FOLDERS) as string[]).includes(name) // compared as plain texts

/** What lies in a folder. Names are shown to people, so they are plain text. */
function namesIn(path: string): string[] {
  const names = readdirSync(path).sort()
  return names.every(name => /^[\x21-\x7e]{1,80}$/.test(name)) ? names : refuse('charter.change', path, 'files of a change request', 'a name that is not plain text', 'take it out')
}

function textOf(at: string): string {
  if (!lstatSync(at).isFile()) refuse('charter.change', at, 'a file of a change request', 'something else', 'take it out')
  return fromUtf8(readBytes(at, LIMITS.fileBytes), at)
}

/** A charter that others may follow, and its lineage. */
export interface Base { readonly charter: Charter; readonly lineage: Hash }

/** The charter that stands at a path and its lineage, as `--against` names it: a change request, a folder, or a file. */
export function openBase(path: string, lineage?: Hash): Base {
  if (isChange(path)) {
    const change = openPast(path)
    return { charter: change.next, lineage: change.lineage }
  }
  const from = openFolder(path)
  return { charter: from.charter, lineage: lineageOf(from, lineage) }
}

/** The lineage of a charter: by its epoch, its change request, or as it was named. Leaves with `cli.usage`. */
export function lineageOf(from: CharterFolder, named?: Hash): Hash {
  if (named !== undefined) return named
  const beside = changeAt(from) === undefined ? siblings(from.folder, from.charter.epoch)[0] : undefined
  if (from.charter.epoch === 1) return beside === undefined ? from.digest : openPast(beside).lineage // edited, and not proposed yet
  if (from.charter.epoch === 2 && from.charter.prev !== undefined) return from.charter.prev
  // Whatever lies beside it and is one epoch older, or of its own, is of its lineage.
  const prev = from.charter.prev === undefined ? undefined : pathOf(from.folder, from.charter.epoch - 1, from.charter.prev)
  const known = changeAt(from) ?? (prev !== undefined && existsSync(prev) ? prev : beside)
  return known === undefined ? refuse('cli.usage', '--lineage', 'the digest of epoch 1', 'nothing', `cloister plan ${from.folder} --lineage sha256:…`) : openPast(known).lineage
}

/**
 * The charter that a charter follows, found beside it: the change request that `prev` names, or, where epoch and `prev`
 * are still those of an approved one, that. Undefined where there is none; `cli.usage` where both are possible.
 */
export function baseFor(from: CharterFolder): Base | undefined {
  const { folder, charter, digest } = from
  const at = charter.prev === undefined ? undefined : pathOf(folder, charter.epoch - 1, charter.prev)
  const before = at !== undefined && existsSync(at) ? openPast(at) : undefined
  const approved = siblings(folder, charter.epoch).filter(path => changeAt(from) !== path).map(path => openPast(path)).filter(change => change.next.prev === charter.prev && standingOf(p, change).approved)
  const [one, other] = approved
  if (one === undefined || changeAt(from) !== undefined) return before === undefined ? undefined : { charter: before.next, lineage: before.lineage }
  if (before !== undefined || other !== undefined) refuse('cli.usage', '--against', 'the charter that this one follows', `${digest.slice(0, 19)}… has the epoch of ${approved.map(change => change.path).join(', ')}`, `--against ${one.path} to follow it${before === undefined ? '' : `, --against ${before.path} to be its rival, or --cloud to follow what is in force`}`)
  return { charter: one.next, lineage: one.lineage }
}

function siblings(folder: string, epoch: number): string[] {
  const at = changesOf(folder)
  const prefix = `${String(epoch).padStart(4, '0')}-`
  return existsSync(at) ? readdirSync(at).filter(name => name.startsWith(prefix) && isChange(join(at, name))).sort().slice(0, SIBLINGS_MAX).map(name => join(at, name)) : []
}
const SIBLINGS_MAX = 256

/** Write a change request: charter.yaml as it is, and what is made from it. Acts that lie there stay. */
export function writeChange(home: string, change: ChangeRequest): string {
  const path = pathOf(home, change.next.epoch, change.digest)
  for (const folder of [changesOf(home), path]) makeFolder(folder)
  keepKeysOut(home)
  for (const [name, text] of [['charter.yaml', change.text], ...documentsOf(change)] as const) replaceFile(join(path, name), text)
  return path
}

/** Write acts into a change request, one file each; gives their paths. */
export function writeActs(path: string, acts: readonly Act[]): string[] {
  return acts.map(act => {
    const file = actFile(p, act)
    const at = join(path, file.path)
    makeFolder(dirname(at))
    replaceFile(at, file.text)
    return at
  })
}

/** The folder is made to be committed; its keys are not. */
function keepKeysOut(home: string): void {
  const keys = join(home, 'keys')
  if (existsSync(keys) && !existsSync(join(keys, '.gitignore'))) writeFileSync(join(keys, '.gitignore'), '*\n', { flag: 'wx' })
}

/** A folder of ours, never a link: whoever made the branch does not choose where we write. */
function makeFolder(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return void mkdirSync(path, { recursive: true })
  if (!found.isDirectory()) refuse('charter.change', path, 'a folder', 'a link', 'take it out')
}

/** A fresh file in place of whatever has the name, also of a link. */
export function replaceFile(path: string, text: string): void {
  rmSync(path, { force: true })
  writeFileSync(path, text, { flag: 'wx' })
}

/** The digest of a charter in its normal form. */
export const digestOf = (charter: Charter): Hash => charterDigest(p, charter)
