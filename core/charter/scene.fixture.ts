// What the tests of the charter room share: results opened, charters and their successors, the signers of section 12.
import assert from 'node:assert/strict'
import { ed25519 } from '@noble/curves/ed25519.js'
import { utf8 } from '../bytes/text.ts'
import { portable as p } from '../crypto/portable.ts'
import type { Signer } from '../crypto/primitives.ts'
import type { Result } from '../refusal.ts'
import { canonicalCharter, charterDigest, programIdentity } from './canonical.ts'
import type { Judged, Request, View } from './decide.ts'
import { FRAUD } from './documents.fixture.ts'
import { parseCharter } from './parse.ts'
import type { Charter, Grant } from './types.ts'
import { parseCharterYaml } from './yaml.ts'

export const ok = <T>(result: Result<T>): T => {
  if (!result.ok) assert.fail(JSON.stringify(result.refusal))
  return result.value
}
export const refused = (result: Result<unknown>, code: string, at?: RegExp) => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code)
  if (at !== undefined) assert.match(result.refusal.at, at)
}
export const charter = (yaml: string) => ok(parseCharterYaml(yaml))
export const next = (from: Charter, change: (copy: Charter) => void): Charter => {
  const copy = structuredClone(from)
  copy.epoch = from.epoch + 1
  copy.prev = charterDigest(p, from)
  change(copy)
  return ok(parseCharter(canonicalCharter(copy)))
}
export const signer = (name: string): Signer => {
  const secret = p.hash('sha256', utf8(`cloister example key ${name}`))
  return { algorithm: 'ed25519', publicKey: { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }, sign: message => ed25519.sign(message, secret) }
}
export const grantOf = (copy: Charter, asset: string): Grant => copy.grants.find(grant => grant.asset === asset) ?? assert.fail(asset)
export const all = ['alpha', 'bravo', 'carol']

/** The fraud room on SEV-SNP, with everything that `decide` asks for. */
export function scene(yaml = FRAUD.replace('tee: [snp, tdx], tcb: current, where: [EU]', 'tee: [snp]')) {
  const value = charter(yaml)
  const lineage = charterDigest(p, value)
  const now = 1_800_000_000
  const view: View = { lineage, charter: value, revoked: false, head: { time: now, witnesses: 2 }, enactedAt: now - 100 }
  const request: Request = { charter: lineage, epoch: 1, program: 'match', asset: 'a-claims', can: 'read', nonce: new Uint8Array(32) }
  const claims = { tee: 'snp', simulated: false, debug: false, hostData: programIdentity(p, lineage, 'match', value.programs['match'] ?? assert.fail()).slice(7) }
  // The claims that decide reads; appraisal has judged the others.
  const judged = { claims, tcb: 'current' } as Judged
  const judgedAs = (change: object, tcb: 'current' | 'outdated' = 'current') => ({ claims: { ...claims, ...change }, tcb }) as Judged
  const nothing = () => ({ uses: 0, bytes: 0, epsilon: 0 })
  return { value, lineage, view, request, judged, judgedAs, nothing, now }
}
