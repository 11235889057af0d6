/**
 * The canonical bytes of a charter and its digest: SHA-256 of the RFC 8785 form of its normal form. Every signature,
 * every log entry and every release names a charter by this digest. Trusts the port's SHA-256.
 */
import { toHex } from '../bytes/hex.ts'
import { jcs } from '../bytes/jcs.ts'
import { utf8 } from '../bytes/text.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Charter, Hash, Program } from './types.ts'

export function canonicalCharter(charter: Charter): Uint8Array {
  return utf8(jcs(charter))
}

export function charterDigest(p: Primitives, charter: Charter): Hash {
  return hashOf(p, canonicalCharter(charter))
}

/**
 * What a guest must be launched as to be a program of a charter: the digest of lineage, name, bytes and configuration.
 * It stands in HOST_DATA (32 bytes), so evidence names the program and not only the machine.
 */
export function programIdentity(p: Primitives, lineage: Hash, name: string, program: Program): Hash {
  return hashOf(p, utf8(jcs({ charter: lineage, program: name, run: program.run, config: program.config })))
}

/**
 * Does host data (hex) name this program? HOST_DATA of SNP holds the digest as it is; MRCONFIGID of TDX (48 bytes) and
 * CONFIGID of SGX (64 bytes) hold it first, and zeros after it.
 */
export function launchedAs(hostData: string, identity: Hash): boolean {
  const name = identity.slice('sha256:'.length)
  return HOST_DATA_HEX.includes(hostData.length) && hostData === name.padEnd(hostData.length, '0')
}
const HOST_DATA_HEX = [64, 96, 128]

export function hashOf(p: Primitives, bytes: Uint8Array): Hash {
  return `sha256:${toHex(p.hash('sha256', bytes))}`
}
