/**
 * A node's disk as one file: written beside, made durable, then put in place, so that a crash leaves the old text or the new
 * one. Trusts the file system to keep a file that was synced; whoever owns it can set it back, which the loop notices.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Disk } from './node.ts'

/** Mode 0600; the folder must be there. Errors of the file system pass through: a node that cannot write does not go on. */
export function fileDisk(path: string): Disk {
  return {
    read: async () => {
      try {
        return await readFile(path, 'utf8')
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
        throw error
      }
    },
    write: async text => {
      const file = await open(`${path}.new`, 'w', 0o600)
      try {
        await file.writeFile(text)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(`${path}.new`, path)
      // The name is durable once its folder is.
      const folder = await open(dirname(path), 'r')
      try {
        await folder.sync()
      } finally {
        await folder.close()
      }
    },
  }
}
