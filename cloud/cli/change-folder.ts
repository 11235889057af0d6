/**
 * Change requests on disk: `changes/<epoch>-<digest>/` beside the charter. Reads only plain files of bounded size and
 * hands them to `change.ts`, which verifies each; what is no file of a change request (a link, another folder) is refused.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Act } from '@cloister/core/charter/acts'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../crypto/node.ts'
import { ACT_FOLDERS, actFile, changeName, documentsOf, LIMITS, readChange, standingOf, type ChangeRequest } from './change.ts'
import { openFolder, readText, type CharterFolder } from './folder.ts'

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
  if (isChange(path)) return readFolder(path, dirname(dirname(resolve(path))))
  const from = openFolder(path)
  const at = changeAt(from) ?? refuse('charter.change', changeName(from.charter.epoch, from.digest), `the change request of ${from.file}`, 'none', `cloister propose ${path}`)
  return readFolder(at, from.folder)
}

/** Is this the directory of a change request? */
export const isChange = (path: string): boolean => existsSync(join(path, 'change.json'))

/** Where the change request of a charter lies, or undefined when it was not proposed here. */
export function changeAt({ folder, charter, digest }: CharterFolder): string | undefined {
  const at = pathOf(folder, charter.epoch, digest)
  return existsSync(at) ? at : undefined
}

function readFolder(path: string, home: string): OpenChange {
  const change = orRefuse(readChange(p, filesOf(path)))
  const name = changeName(change.next.epoch, change.digest)
  if (basename(resolve(path)) !== name) refuse('charter.change', path, `a folder named ${name}`, basename(resolve(path)), 'the name says epoch and digest: rename it')
  return { ...change, path, home }
}

function filesOf(path: string): Map<string, string> {
  const files = new Map<string, string>()
  const take = (name: string, at: string) => {
    if (files.size >= LIMITS.files) refuse('charter.change', path, `at most ${LIMITS.files} files`, 'more')
    files.set(name, readText(at, LIMITS.fileBytes))
  }
  for (const entry of readdirSync(path).sort()) {
    const at = join(path, entry)
    const found = lstatSync(at)
    if (found.isDirectory() && (Object.values(ACT_FOLDERS) as string[]).includes(entry)) { // compared as plain texts
      for (const act of readdirSync(at).sort()) lstatSync(join(at, act)).isFile() ? take(`${entry}/${act}`, join(at, act)) : notAFile(join(at, act))
    } else found.isFile() ? take(entry, at) : notAFile(at)
  }
  return files
}

const notAFile = (at: string): never => refuse('charter.change', at, 'a file of a change request', 'something else', 'take it out')

/** A charter that others may follow, and its lineage. */
export interface Base { readonly charter: Charter; readonly lineage: Hash }

/** The charter that stands at a path and its lineage, as `--against` names it: a change request, a folder, or a file. */
export function openBase(path: string, lineage?: Hash): Base {
  if (isChange(path)) {
    const change = openChange(path)
    return { charter: change.next, lineage: change.lineage }
  }
  const from = openFolder(path)
  return { charter: from.charter, lineage: lineageOf(from, lineage) }
}

/** The lineage of a charter: by its epoch, its change request, or as it was named. Leaves with `cli.usage`. */
export function lineageOf(from: CharterFolder, named?: Hash): Hash {
  if (named !== undefined) return named
  if (from.charter.epoch === 1) return from.digest
  if (from.charter.epoch === 2 && from.charter.prev !== undefined) return from.charter.prev
  // Whatever lies beside it and is one epoch older, or of its own, is of its lineage.
  const prev = from.charter.prev === undefined ? undefined : pathOf(from.folder, from.charter.epoch - 1, from.charter.prev)
  const known = changeAt(from) ?? (prev !== undefined && existsSync(prev) ? prev : siblings(from.folder, from.charter.epoch)[0])
  return known === undefined ? refuse('cli.usage', '--lineage', 'the digest of epoch 1', 'nothing', `cloister plan ${from.folder} --lineage sha256:…`) : openChange(known).lineage
}

/**
 * The charter that a charter follows, found beside it: the change request that `prev` names, or, where epoch and `prev`
 * are still those of an approved one, that. Undefined where there is none; `cli.usage` where both are possible.
 */
export function baseFor(from: CharterFolder): Base | undefined {
  const { folder, charter, digest } = from
  const at = charter.prev === undefined ? undefined : pathOf(folder, charter.epoch - 1, charter.prev)
  const before = at !== undefined && existsSync(at) ? openChange(at) : undefined
  const approved = siblings(folder, charter.epoch).filter(path => changeAt(from) !== path).map(path => openChange(path)).filter(change => change.next.prev === charter.prev && standingOf(p, change).approved)
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
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'charter.yaml'), change.text)
  for (const [name, text] of documentsOf(change)) writeFileSync(join(path, name), text)
  return path
}

/** Write acts into a change request, one file each; gives their paths. */
export function writeActs(path: string, acts: readonly Act[]): string[] {
  return acts.map(act => {
    const file = actFile(p, act)
    const at = join(path, file.path)
    mkdirSync(dirname(at), { recursive: true })
    writeFileSync(at, file.text)
    return at
  })
}

/** The digest of a charter in its normal form. */
export const digestOf = (charter: Charter): Hash => charterDigest(p, charter)
