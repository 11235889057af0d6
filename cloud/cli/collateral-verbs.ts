/**
 * The verbs of `cloister collateral`: file, list, show and take out what vendors publish about machines. Everything that
 * is filed was verified to the vendors' pinned roots; nothing here says whether a machine is good.
 */
import { writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { isUtf8 } from 'node:buffer'
import type { Hash } from '@cloister/core/charter/types'
import type { JsonObject } from '@cloister/core/bytes/json'
import { assemble, detect } from '@cloister/core/evidence/detect'
import { orRefuse, Refused, refuse } from '@cloister/core/refusal'
import { addCollateral, type FileReport } from '../collateral/add.ts'
import { KINDS, LIMITS, titleOf, type Entry } from '../collateral/documents.ts'
import { collateralFor } from '../collateral/fill.ts'
import { serveCollateral } from '../collateral/serve.ts'
import { openCollateral, type CollateralStore } from '../collateral/store.ts'
import { VENDORS } from '../collateral/wanted.ts'
import { nodePrimitives } from '../crypto/node.ts'
import { readBytes } from './folder.ts'
import type { Screen } from './screen.ts'

interface Where { readonly folder: string }

const now = () => Math.floor(Date.now() / 1000)
const day = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10)

export function addVerb(screen: Screen, files: readonly string[], options: Where & { readonly early?: boolean }): void {
  const read = files.map(path => ({ name: basename(path), bytes: readBytes(path, LIMITS.documentBytes), ...(options.early === true ? { update: 'early' as const } : {}) }))
  const reports = addCollateral(nodePrimitives, openCollateral(options.folder), read, now())
  const [only] = reports
  if (reports.length === 1 && only?.outcome.ok === false) throw new Refused(only.outcome.refusal)
  reports.forEach(report => showReport(screen, report))
  const refused = reports.flatMap(({ name, outcome }) => (outcome.ok ? [] : [{ file: name, refusal: outcome.refusal }]))
  const filed = reports.flatMap(({ name, outcome }) => (outcome.ok ? outcome.value.filed.map(({ title, entry, known, expired, superseded }) => ({ file: name, title, known, expired, superseded, ...summary(entry) })) : []))
  const [first] = refused
  screen.result({ ok: first === undefined, filed, refused, ...(first === undefined ? {} : { refusal: first.refusal }) }, `filed ${filed.filter(one => !one.known).length}, known ${filed.filter(one => one.known).length}, refused ${refused.length}`)
  // What was good is filed and said; the status still tells that not all was.
  if (first !== undefined) process.exitCode = 10
}

function showReport(screen: Screen, { name, outcome }: FileReport): void {
  if (!outcome.ok) {
    const { code, at, expected, got, fix } = outcome.refusal
    screen.bad(`${name}: ${code} at ${at}: expected ${expected}, got ${got}`)
    if (fix !== undefined) screen.say(`  mend      ${fix}`)
    return
  }
  for (const { title, entry, known, expired, superseded } of outcome.value.filed) {
    screen.ok(`${title}, ${day(entry.notBefore)} to ${day(entry.notAfter)}${known ? ' (known)' : ''}`)
    if (expired) screen.warn(`${title} is over: kept for verdicts about that time, not offered as current`)
    else if (superseded) screen.warn(`${title} is older than one that is here: kept, the newer one is offered`)
  }
  if (outcome.value.filed.length === 0) screen.warn(`${name}: nothing to file: ${outcome.value.left.join(', ')} ${outcome.value.left.length === 1 ? 'is' : 'are'} pinned or travels with evidence`)
}

const summary = ({ digest, kind, about, notBefore, notAfter, added, size }: Entry) => ({ digest, kind, about, notBefore, notAfter, added, size })

export function listVerb(screen: Screen, options: Where & { readonly kind?: string }): void {
  const kind = options.kind === undefined ? undefined : KINDS.find(one => one === options.kind) ?? refuse('cli.usage', '--kind', KINDS.join(', '), options.kind)
  const store = openCollateral(options.folder)
  const { entries, damaged } = examined(store)
  const shown = entries.filter(one => kind === undefined || one.kind === kind).sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || (titleOf(a) < titleOf(b) ? -1 : 1) || b.notBefore - a.notBefore)
  for (const one of damaged) screen.bad(`${one.code}: ${one.at}: expected ${one.expected}, got ${one.got}; ${one.fix ?? ''}`)
  const at = now()
  screen.result(
    { ok: damaged.length === 0, documents: shown.map(one => ({ title: titleOf(one), current: at >= one.notBefore && at <= one.notAfter, ...summary(one) })), damaged },
    shown.map(one => `${one.digest.slice(7, 19)}  ${day(one.notBefore)} to ${day(one.notAfter)}${at > one.notAfter ? ' (over)' : ''}  ${titleOf(one)}`).join('\n') || 'nothing yet: cloister collateral add FILE',
  )
  if (damaged.length > 0) process.exitCode = 10
}

/** What is here, every document read and checked. */
function examined(store: CollateralStore): ReturnType<CollateralStore['list']> {
  const { entries, damaged } = store.list()
  const bad = [...damaged]
  const good = entries.filter(entry => {
    try {
      return store.read(entry.digest) !== undefined
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      bad.push(error.refusal)
      return false
    }
  })
  return { entries: good, damaged: bad }
}

export function showVerb(screen: Screen, digest: string, options: Where & { readonly out?: string }): void {
  const store = openCollateral(options.folder)
  const { entry, bytes } = store.read(oneOf(store, digest)) ?? refuse('cli.file', digest, 'a document that is here', 'none', 'cloister collateral list')
  if (options.out !== undefined) writeFileSync(options.out, bytes, { mode: 0o600 })
  const body = isUtf8(bytes) ? { text: Buffer.from(bytes).toString() } : { base64: Buffer.from(bytes).toString('base64') }
  for (const [name, value] of Object.entries({ kind: entry.kind, ...entry.about, from: day(entry.notBefore), until: day(entry.notAfter), added: day(entry.added), sha256: entry.digest.slice(7), bytes: String(entry.size) })) screen.say(`  ${name.padEnd(12)} ${value}`)
  screen.result({ ok: true, title: titleOf(entry), ...summary(entry), ...(entry.issuerChain === undefined ? {} : { issuerChain: entry.issuerChain }), ...body }, titleOf(entry))
}

export function removeVerb(screen: Screen, digests: readonly string[], options: Where): void {
  const store = openCollateral(options.folder)
  const found = digests.map(one => oneOf(store, one))
  for (const one of found) if (!store.remove(one)) refuse('cli.file', one, 'a document that is here', 'none', 'cloister collateral list')
  screen.result({ ok: true, removed: found }, `removed ${found.length}`)
}

export function pruneVerb(screen: Screen, options: Where & { readonly before: string }): void {
  const before = timeOf('--before', options.before)
  const store = openCollateral(options.folder)
  const over = store.list().entries.filter(one => one.notAfter < before)
  for (const one of over) store.remove(one.digest)
  screen.result({ ok: true, removed: over.map(one => one.digest) }, `removed ${over.length} that were over before ${day(before)}`)
}

export function exportVerb(screen: Screen, options: Where & { readonly for: readonly string[]; readonly at?: string; readonly out?: string }): void {
  const at = options.at === undefined ? now() : timeOf('--at', options.at)
  const { evidence, used, missing } = orRefuse(collateralFor(nodePrimitives, openCollateral(options.folder), evidenceIn(options.for), at))
  for (const one of used) screen.ok(`${titleOf(one)}, ${day(one.notBefore)} to ${day(one.notAfter)}`)
  for (const { what, needed, fix } of missing) {
    screen.warn(`missing: ${what}${needed ? '' : ' (the verdict will say that it was not there)'}`)
    screen.say(`  mend      ${fix}`)
  }
  const needed = missing.find(one => one.needed)
  if (needed !== undefined) refuse('evidence.missing', options.for.join(', '), needed.what, 'none', needed.fix)
  const text = JSON.stringify(evidence)
  if (options.out !== undefined) writeFileSync(options.out, text)
  screen.result({ ok: true, evidence, at, used: used.map(summary), missing }, options.out === undefined ? text : `wrote ${options.out}`)
}

/** Evidence of one or more files of one machine, whatever form they have. */
function evidenceIn(paths: readonly string[]): JsonObject {
  return orRefuse(assemble(paths.flatMap(path => orRefuse(detect(nodePrimitives, { name: basename(path), bytes: readBytes(path, LIMITS.documentBytes) })))))
}

export async function serveVerb(screen: Screen, options: Where & { readonly port: string; readonly host: string; readonly upstream?: string }): Promise<void> {
  const port = /^\d{1,5}$/.test(options.port) && Number(options.port) < 65_536 ? Number(options.port) : refuse('cli.usage', '--port', '0 to 65535', options.port)
  const upstream = (options.upstream ?? '').split(',').filter(one => one !== '').map(name => VENDORS.find(one => one === name) ?? refuse('cli.usage', '--upstream', VENDORS.join(', '), name))
  const store = openCollateral(options.folder)
  for (const one of store.list().damaged) screen.warn(`${one.code}: ${one.at}: ${one.fix ?? ''}`)
  const { url, close } = await serveCollateral(nodePrimitives, store, { port, hostname: options.host, upstream, log: line => screen.say(line) })
  if (!['127.0.0.1', '::1', 'localhost'].includes(options.host)) screen.warn(`anybody who reaches ${options.host} can ask; what is handed out is public and signed`)
  screen.result({ ok: true, url, folder: options.folder, documents: store.list().entries.length, upstream }, [
    `collateral ${url}`, `KDS        ${url}/vcek/v1/Milan/cert_chain`, `PCCS       ${url}/sgx/certification/v4/`, `RIM        ${url}/v1/rim/`, `OCSP       ${url}/ocsp`,
    `upstream   ${upstream.join(', ') || 'nobody: only what is here'}`, '', 'stop with Ctrl-C',
  ].join('\n'))
  await new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
  })
  await close()
}

/** Seconds since 1970 of a time that a person wrote. */
export function timeOf(option: string, text: string): number {
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? refuse('cli.usage', option, 'a time like 2026-11-20T12:00:00Z', text) : Math.floor(ms / 1000)
}

/** A digest, or the beginning of one that only one document has. */
function oneOf(store: CollateralStore, text: string): Hash {
  const hex = text.replace(/^sha256:/, '').toLowerCase()
  if (!/^[0-9a-f]{6,64}$/.test(hex)) return refuse('cli.usage', 'digest', 'at least six hexadecimal digits', text, 'cloister collateral list')
  if (hex.length === 64) return `sha256:${hex}`
  const found = store.list().entries.filter(one => one.digest.slice(7).startsWith(hex))
  const [first] = found
  return found.length === 1 && first !== undefined ? first.digest : refuse('cli.file', text, 'the beginning of one digest', `${found.length} documents`, 'cloister collateral list')
}
