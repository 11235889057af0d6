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
 * it. Every file in it is verified. Leaves with `cli.file`, `charter.change` or `charter.act`.
 */
export function openChange(path: string): OpenChange {
  if (existsSync(join(path, 'change.json'))) return readFolder(path, dirname(dirname(resolve(path))))
  const from = openFolder(path)
  const at = pathOf(from.folder, from.charter.epoch, from.digest as Hash) // made by charterDigest
  if (!existsSync(at)) refuse('cli.file', at, 'the change request of this charter', 'no such folder', `cloister propose ${path}`)
  return readFolder(at, from.folder)
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

/** The charter that stands at a path and its lineage, as `--against` names it: a change request, a folder, or a file. */
export function openBase(path: string, lineage?: Hash): { charter: Charter; lineage: Hash } {
  if (existsSync(join(path, 'change.json'))) {
    const change = openChange(path)
    return { charter: change.next, lineage: change.lineage }
  }
  const from = openFolder(path)
  return { charter: from.charter, lineage: lineageOf(from, lineage) }
}

/** The lineage of a charter: by its epoch, its change request, or as it was named. Leaves with `cli.usage`. */
export function lineageOf(from: CharterFolder, named?: Hash): Hash {
  const digest = from.digest as Hash // made by charterDigest
  if (named !== undefined) return named
  if (from.charter.epoch === 1) return digest
  if (from.charter.epoch === 2 && from.charter.prev !== undefined) return from.charter.prev
  const own = pathOf(from.folder, from.charter.epoch, digest)
  if (existsSync(own)) return openChange(own).lineage
  return baseFor(from)?.lineage ?? refuse('cli.usage', '--lineage', 'the digest of epoch 1', 'nothing', `cloister plan ${from.folder} --lineage sha256:…`)
}

/**
 * The charter that a charter follows, found beside it: the change request that `prev` names, or, where epoch and `prev`
 * were not written yet, the approved one of the same epoch. Undefined where there is none.
 */
export function baseFor({ folder, charter, digest }: CharterFolder): { charter: Charter; lineage: Hash } | undefined {
  const approved = siblings(folder, charter.epoch).filter(path => !path.endsWith(digest.slice(7, 19))).map(path => openChange(path)).filter(change => standingOf(p, change).approved)
  const [one, other] = approved
  if (one !== undefined && other !== undefined) refuse('cli.usage', '--against', 'the charter that this one follows', `${approved.length} approved changes of epoch ${charter.epoch}`, approved.map(change => `--against ${change.path}`).join(' or '))
  if (one !== undefined) return { charter: one.next, lineage: one.lineage }
  if (charter.prev === undefined) return undefined
  const before = pathOf(folder, charter.epoch - 1, charter.prev)
  return existsSync(before) ? openBase(before) : undefined
}

function siblings(folder: string, epoch: number): string[] {
  const at = changesOf(folder)
  const prefix = `${String(epoch).padStart(4, '0')}-`
  return existsSync(at) ? readdirSync(at).filter(name => name.startsWith(prefix) && existsSync(join(at, name, 'change.json'))).sort().slice(0, SIBLINGS_MAX).map(name => join(at, name)) : []
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

/** Leave unless the change request on disk is exactly what `propose` would write (`charter.change` with the first difference). */
export function checkChange(home: string, change: ChangeRequest): OpenChange {
  const found = openChange(pathOf(home, change.next.epoch, change.digest))
  return found.text === change.text ? found : refuse('charter.change', join(found.path, 'charter.yaml'), 'the text of the proposed charter', 'another text with the same meaning', `cloister propose ${home}`)
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
