/**
 * The simulated machine around a guest: a chip made on the spot, or one whose fuses a folder remembers. It lives beside
 * the guest, in the launcher, as a real chip lives beside a real guest. NOT SECURE: see core/evidence/simulated.
 */
import { constants, createHash, createPrivateKey, randomBytes, sign } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { simulatedChip, type SimulatedChip } from '@cloister/core/evidence/simulated/chip'
import { refuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives } from '../../crypto/node.ts'
import { SIMULATED_ASK_KEY } from './simulated-key.ts'

/**
 * A chip. With a path its fuses outlive the process: that file stands for silicon, so whoever reads it owns the chip,
 * which is one of the reasons why simulated is not secure. `now` is in seconds since 1970.
 */
export function openSimulatedChip(now: number, fusesPath?: string): SimulatedChip {
  const fuses = fusesPath === undefined ? randomBytes(32) : fusesAt(fusesPath)
  const ask = createPrivateKey(SIMULATED_ASK_KEY)
  return simulatedChip(nodePrimitives, {
    fuses, chipId: new Uint8Array(createHash('sha512').update('chip id').update(fuses).digest()), vcek: generateSigner('p384'), now,
    signAsAsk: tbs => new Uint8Array(sign('sha384', tbs, { key: ask, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })),
  })
}

function fusesAt(path: string): Uint8Array {
  if (!existsSync(path)) writeFileSync(path, `${toHex(randomBytes(32))}\n`, { mode: 0o600, flag: 'wx' })
  const fuses = fromHex(readFileSync(path, 'utf8').trim(), path)
  return fuses.length === 32 ? fuses : refuse('store.corrupt', path, '32 bytes', `${fuses.length} bytes`, 'a lost chip is lost: start with a new state folder')
}
