/** `cloister init`: a charter to start from, with fresh keys (0600) for its parties. Never overwrites anything. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { refuse } from '@cloister/core/refusal'
import { formatKey } from '@cloister/core/crypto/keys'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { generateSigner, nodePrimitives, nodeRandom } from '../crypto/node.ts'
import type { Screen } from './screen.ts'

const TEMPLATES: Record<string, { parties: readonly string[]; queries: boolean; body: (keys: Keys, digest: string) => string }> = {
  'clean-room': { parties: ['alpha', 'bravo', 'carol'], queries: true, body: cleanRoom },
  box: { parties: ['me'], queries: false, body: box },
}
type Keys = Record<string, { readonly key: string; readonly recipient: string }>

export function init(screen: Screen, template: string, folder: string): void {
  const chosen = TEMPLATES[template] ?? refuse('cli.usage', 'template', Object.keys(TEMPLATES).join(' or '), template)
  const file = join(folder, 'charter.yaml')
  if (existsSync(file)) refuse('cli.file', file, 'a folder without a charter', 'one is there')
  mkdirSync(join(folder, 'keys'), { recursive: true, mode: 0o700 })
  const keys: Keys = Object.fromEntries(chosen.parties.map(party => [party, makeKeys(folder, party)]))
  const queries = chosen.queries ? readFileSync(QUERIES) : Buffer.alloc(0)
  if (chosen.queries) writeFileSync(join(folder, 'queries.sql'), queries, { flag: 'wx' })
  writeFileSync(file, chosen.body(keys, createHash('sha256').update(queries).digest('hex')), { flag: 'wx' })
  screen.warn('the charter names simulated silicon: change on.tee before it guards anything real')
  screen.result({ ok: true, file, template, parties: chosen.parties }, `${file}\nkeys/ holds the private keys of ${chosen.parties.join(', ')}: give each party its own and remove the others`)
}

/** The reviewed queries that the clean-room template starts from. */
const QUERIES = join(import.meta.dirname, 'templates', 'queries.sql')

function makeKeys(folder: string, party: string): Keys[string] {
  const signer = generateSigner('ed25519')
  const seal = generateIdentity(nodePrimitives, 'hybrid', nodeRandom)
  writeFileSync(join(folder, 'keys', `${party}.key`), signer.exportPem(), { mode: 0o600, flag: 'wx' })
  writeFileSync(join(folder, 'keys', `${party}.seal`), `${seal.identity}\n`, { mode: 0o600, flag: 'wx' })
  return { key: formatKey(signer.publicKey), recipient: seal.recipient }
}

function parties(keys: Keys): string {
  return Object.entries(keys).map(([name, { key, recipient }]) => `  ${name}:\n    keys: ["${key}"]\n    seal: ["${recipient}"]\n`).join('')
}

function cleanRoom(keys: Keys, digest: string): string {
  const names = Object.keys(keys).join(', ')
  return `# A clean room: several owners, one question, nobody sees the rest. Read it with: cloister plan .
charter: 1
name: clean-room
epoch: 1
parties:
${parties(keys)}programs:
  match:
    run: { sql: sha256:${digest} }   # queries.sql
    on: { tee: [simulated] }         # SIMULATED protects nothing; on real hardware: [snp]
assets:
${Object.keys(keys).map(name => `  ${name[0]}-claims: { owner: ${name}, kind: data, person: person_id }\n`).join('')}grants:
  - asset: [${Object.keys(keys).map(name => `${name[0]}-claims`).join(', ')}]
    to: match
    can: read
    budget: { uses: 20, epsilon: 10, per: 1d }
    out:
      - { to: [${names}], shape: rows, about: own }
      - { to: [${names}], shape: aggregate, atLeast: 10, epsilon: 0.5 }
change: { widen: { of: [${names}], need: ${Object.keys(keys).length}, notice: 2d } }
log: { at: "https://log.example", witnesses: 1, head: 1h }
`
}

function box(keys: Keys): string {
  return `# A box: one owner, one program, one disk.
charter: 1
name: my-box
epoch: 1
parties:
${parties(keys)}programs:
  app: { run: { image: "nginx@sha256:0366d48c78ac24873fb85132806eaeb1674515a6011b0558eb67573d63aaf719" }, on: { tee: [snp, tdx] }, net: { listen: [443] } }
assets:
  disk: { owner: me, kind: disk }
grants:
  - { asset: disk, to: app, can: use, as: /data }
change: { widen: { of: [me], need: 1, notice: 0s } }
log: { at: "https://log.example", witnesses: 1, head: 1d }
`
}
