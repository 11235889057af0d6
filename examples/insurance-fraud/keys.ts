/**
 * The demo keys of this folder. They are PUBLIC: each is made from a seed that stands here (charter.md section 12), so
 * that examples, tests and documents agree. Real parties make their own and keep them.
 *
 *   node --conditions=source examples/insurance-fraud/keys.ts        writes keys/<party>.key and keys/<party>.seal
 */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { formatKey } from '@cloister/core/crypto/keys'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { generateSigner, nodePrimitives } from 'cloister/crypto/node'

export interface DemoKey { readonly key: string; readonly signing: string; readonly seal: string; readonly sealing: string }

export function demoKey(party: string): DemoKey {
  const seed = (text: string) => new Uint8Array(createHash('sha256').update(text).digest())
  const signer = generateSigner('ed25519', seed(`cloister example key ${party}`))
  const seal = generateIdentity(nodePrimitives, 'x25519', () => seed(`cloister example seal ${party}`))
  const notice = (what: string) => `# Demo key of ${party}: PUBLIC. It ${what}; its seed is the SHA-256 of a text in keys.ts. Never use it for anything real.\n`
  return {
    key: formatKey(signer.publicKey), signing: notice('signs') + signer.exportPem(),
    seal: seal.recipient, sealing: `${notice('opens results')}# public key: ${seal.recipient}\n${seal.identity}\n`,
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === import.meta.filename) {
  const folder = join(import.meta.dirname, 'keys')
  mkdirSync(folder, { recursive: true })
  for (const party of ['alpha', 'bravo', 'carol']) {
    const { key, seal, signing, sealing } = demoKey(party)
    writeFileSync(join(folder, `${party}.key`), signing, { mode: 0o600 })
    writeFileSync(join(folder, `${party}.seal`), sealing, { mode: 0o600 })
    process.stdout.write(`  ${party}: { keys: [${key}], seal: [${seal}] }\n`)
  }
}
