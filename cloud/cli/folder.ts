/**
 * A charter's folder, as a person keeps it: `charter.yaml` (or .yml, .json), the programs it names by digest, and `keys/`
 * with the keys of the parties that this person acts for (`<party>.key` signs, further keys are `<party>.<anything>.key`;
 * `<party>.seal` opens results; all 0600).
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Charter, Hash, Program } from '@cloister/core/charter/types'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import type { Signer } from '@cloister/core/crypto/primitives'
import { formatKey } from '@cloister/core/crypto/keys'
import { orRefuse, refuse } from '@cloister/core/refusal'
import { importSigner, nodePrimitives } from '../crypto/node.ts'

export interface CharterFolder {
  readonly folder: string
  readonly file: string
  readonly charter: Charter
  readonly digest: Hash
}

const FILE_BYTES_MAX = 16 * 1024 * 1024
const NAMES = ['charter.yaml', 'charter.yml', 'charter.json']

/** Read the charter at a path: a folder that holds one, or the file itself. Leaves with `cli.file` or the charter's own refusal. */
export function openFolder(path: string): CharterFolder {
  const file = charterFile(path)
  const charter = orRefuse(parseCharterYaml(readText(file)))
  return { folder: dirname(file), file, charter, digest: charterDigest(nodePrimitives, charter) }
}

function charterFile(path: string): string {
  if (!existsSync(path)) refuse('cli.file', path, 'a charter, or a folder that holds charter.yaml', 'no such file', 'cloister init clean-room')
  if (!statSync(path).isDirectory()) return path
  const found = NAMES.map(name => join(path, name)).find(name => existsSync(name))
  return found ?? refuse('cli.file', path, NAMES.join(' or '), 'a folder without one', 'cloister init clean-room')
}

/** Read a text file of bounded size. */
export const readText = (path: string, bytesMax = FILE_BYTES_MAX): string => new TextDecoder().decode(readBytes(path, bytesMax))

/** Read a file of bounded size. */
export function readBytes(path: string, bytesMax = FILE_BYTES_MAX): Uint8Array {
  if (!existsSync(path)) refuse('cli.file', path, 'a file', 'no such file')
  const found = statSync(path)
  if (!found.isFile()) refuse('cli.file', path, 'a file', found.isDirectory() ? 'a folder' : 'something else')
  if (found.size > bytesMax) refuse('cli.file', path, `at most ${bytesMax} bytes`, `${found.size} bytes`)
  return new Uint8Array(readFileSync(path))
}

/** The digest under which a program's bytes stand in the charter, for programs whose bytes are a file. */
export function runDigest(program: Program): string | undefined {
  const run = program.run
  return 'sql' in run ? run.sql : 'wasm' in run ? run.wasm : 'js' in run ? run.js : 'process' in run ? run.process : undefined
}

/** The bytes of a program: the file of the charter's folder whose digest the charter names. */
export function findCode(from: CharterFolder, name: string): { path: string; bytes: Buffer } {
  const program = from.charter.programs[name]
  if (program === undefined) return refuse('program.unknown', `programs.${name}`, Object.keys(from.charter.programs).join(', '), name)
  const digest = runDigest(program)
  if (digest === undefined) return refuse('cli.unsupported', `programs.${name}.run`, 'sql', Object.keys(program.run).join())
  const near: string[] = []
  for (const entry of readdirSync(from.folder, { withFileTypes: true })) {
    const path = join(from.folder, entry.name)
    if (!entry.isFile() || statSync(path).size > FILE_BYTES_MAX) continue
    const bytes = readFileSync(path)
    const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    if (found === digest) return { path, bytes }
    if (/\.(sql|wasm|js|ts)$/.test(entry.name)) near.push(`${entry.name} is ${found}`)
  }
  return refuse('program.mismatch', `programs.${name}.run`, `a file beside ${basename(from.file)} with digest ${digest}`, near.join('; ') || 'no program file',
    'restore the reviewed file, or propose a charter with the new digest')
}

/** A signing key of a party that the charter knows. Leaves with `cli.key`. */
export function partySigner(from: CharterFolder, party: string): Signer {
  const known = from.charter.parties[party] ?? refuse('cli.key', `parties.${party}`, Object.keys(from.charter.parties).join(', '), party)
  return partySigners(from.folder, party, known.keys)[0] ?? refuse('cli.key', join(from.folder, 'keys'), `a key of ${party}`, 'none')
}

/**
 * The keys of a party that lie in a folder's `keys/`: `<party>.key` and `<party>.<anything>.key`, as far as `known` names
 * them. A key that no charter at hand knows is of no use. Leaves with `cli.key`.
 */
export function partySigners(home: string, party: string, known: readonly string[]): Signer[] {
  const folder = join(home, 'keys')
  const files = existsSync(folder) ? readdirSync(folder).filter(name => name === `${party}.key` || (name.startsWith(`${party}.`) && name.endsWith('.key'))).sort() : []
  if (files.length === 0) refuse('cli.key', join(folder, `${party}.key`), `the signing key of ${party} (PKCS #8, PEM)`, 'no such file', `put ${party}'s key there, let ${party} run this, or sign elsewhere: --print FILE, then --signature FILE`)
  const signers = files.map(name => importSigner(readText(join(folder, name), 64 * 1024)))
  const fitting = signers.filter(signer => known.includes(formatKey(signer.publicKey)))
  if (fitting.length === 0) refuse('cli.key', folder, known.map(shortKey).join(' or '), signers.map(signer => shortKey(formatKey(signer.publicKey))).join(', '), `the charter knows other keys of ${party}: cloister rotate, or bring the right file`)
  return fitting
}

const shortKey = (key: string) => (key.length > 40 ? `${key.slice(0, 32)}…` : key)

/** The identity that opens what is sealed to a party, or undefined when it is not on this machine. */
export function partyIdentity(from: CharterFolder, party: string): string | undefined {
  const path = join(from.folder, 'keys', `${party}.seal`)
  if (!existsSync(path)) return undefined
  return readText(path).split('\n').map(line => line.trim()).find(line => line.startsWith('AGE-SECRET-KEY-'))
}
