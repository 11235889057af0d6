/**
 * What a launch measures: the guest's runtime, file by file. On real silicon the firmware measures the image; on
 * simulated silicon the launcher stands for it and hands this digest to the chip.
 *
 * measurement = SHA-384 over the sorted lines `<sha256> <path>` of every source file that can run inside the guest, the
 * lock file (which pins every dependency by digest) and the version of Node. The same function gives the broker its
 * reference value.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folders of the two packages as they run: sources in a checkout, `dist` when installed. */
export const cloudFolder = join(dirname(fileURLToPath(import.meta.url)), '..')
export const coreFolder = dirname(fileURLToPath(import.meta.resolve('@cloister/core/refusal')))

const GUEST_ROOMS = ['guest', 'crypto', 'seal', 'provider']

/** Hex, 48 bytes: the launch measurement of the guest runtime as it stands on this disk. */
export function measureGuest(core = coreFolder, cloud = cloudFolder): string {
  const lines = [
    ...filesOf(core).map(path => `${sha256(readFileSync(path))} core/${relative(core, path)}`),
    ...GUEST_ROOMS.flatMap(room => filesOf(join(cloud, room))).map(path => `${sha256(readFileSync(path))} cloud/${relative(cloud, path)}`),
    `${sha256(readIfThere(lockFile(cloud)))} package-lock.json`,
    `${process.version} node`,
  ]
  return createHash('sha384').update(lines.sort().join('\n')).digest('hex')
}

/** The lock file of the checkout or of the project that installed us: the nearest one above. */
function lockFile(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'package-lock.json')
    if (existsSync(path) || dirname(folder) === folder) return path
  }
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && /\.(ts|js|json)$/.test(entry.name) && !/\.(test|suite|fixture)\.ts$|\.d\.ts$/.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name))
    .filter(path => !/node_modules|\/dist\//.test(path))
}

function readIfThere(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch {
    return new Uint8Array(0)
  }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
