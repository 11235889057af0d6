/** How the vectors of charter, review, acts and decide run: a small charter of one owner, changed in one place. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '@noble/hashes/sha2.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { utf8 } from '@cloister/core/bytes/text'
import { actsSatisfy, founded, signAct, verifyAct, type Act } from '@cloister/core/charter/acts'
import { charterDigest, programIdentity } from '@cloister/core/charter/canonical'
import { decide, type Judged, type Request, type View } from '@cloister/core/charter/decide'
import { emergencyAgreed, emergencySubject } from '@cloister/core/charter/emergency'
import { parseCharter } from '@cloister/core/charter/parse'
import { review } from '@cloister/core/charter/review'
import type { Charter } from '@cloister/core/charter/types'
import { parseCharterYaml } from '@cloister/core/charter/yaml'
import { formatKey } from '@cloister/core/crypto/keys'
import { portable as p } from '@cloister/core/crypto/portable'
import type { Signer } from '@cloister/core/crypto/primitives'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { changeOf, documentsOf, readChange } from '../../cloud/cli/change.ts'

const NOW = 1_800_000_000
const signer: Signer = (() => {
  const secret = sha256(utf8('vector owner'))
  return { algorithm: 'ed25519', publicKey: { kind: 'ed25519', raw: ed25519.getPublicKey(secret) }, sign: message => ed25519.sign(message, secret) }
})()

const BASE = {
  charter: 1, name: 'vector', epoch: 1, parties: { me: { keys: [formatKey(signer.publicKey)] }, you: { keys: [`ed25519:${'22'.repeat(32)}`] } },
  programs: { app: { run: { sql: `sha256:${'aa'.repeat(32)}` }, on: { tee: ['snp'] } } }, assets: { disk: { owner: 'me', kind: 'data' } },
  grants: [{ asset: 'disk', to: 'app', can: 'read', budget: { uses: 1 } }], change: { widen: { of: ['me', 'you'], need: 1, notice: '1d' } }, log: { at: 'log.example', witnesses: 1, head: '1h' },
}

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { set: { 'path.to.field': value } }: the small charter with fields set (null removes), parsed. */
  'charter.parse': input => parseCharter(JSON.stringify(changed(setOf(input)))),
  /** { text }: parsed as YAML. { repeat: [text, n] }: as JSON. */
  'charter.text': input => parseCharterYaml(textOf(input)),
  /** { set }: reviewed as the successor of the small charter. */
  'charter.review': input => attempt(() => {
    const first = base()
    const next = parsed({ epoch: 2, prev: charterDigest(p, first), ...setOf(input) })
    return orRefuse(review(p, first, next))
  }),
  /** { approvals: n }: founded with so many of its two approvals. */
  'charter.found': () => attempt(() => {
    const first = base()
    const digest = charterDigest(p, first)
    return orRefuse(founded(p, first, digest, [signAct(signer, { verb: 'approve', lineage: digest, digest, epoch: 1, party: 'me' })]))
  }),
  /** { change: {…} }: an approval with fields exchanged after it was signed. */
  'charter.act': input => attempt(() => {
    const first = base()
    const digest = charterDigest(p, first)
    const act = signAct(signer, { verb: 'approve', lineage: digest, digest, epoch: 1, party: 'me' })
    return orRefuse(verifyAct(p, first, { ...act, ...(input as { change: object }).change }))
  }),
  /** { set: { file: text } }: the change request of the small charter with files exchanged, added or (null) taken out. */
  'charter.change': input => attempt(() => {
    const change = orRefuse(changeOf(p, JSON.stringify(base())))
    const files = new Map<string, string>([['charter.yaml', change.text], ...documentsOf(change)])
    for (const [file, text] of Object.entries((input as { set: Record<string, string | null> }).set)) text === null ? files.delete(file) : files.set(file, text)
    return orRefuse(readChange(p, files))
  }),
  /** { change?, rp? }: the kept approval of a passkey (Chromium made key and assertion), changed, or by a key of another domain. With nothing changed it holds. */
  'charter.passkey': input => attempt(() => {
    const { change, rp } = input as { change?: object; rp?: string }
    const { key, act } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', 'passkey.json'), 'utf8')) as { key: string; act: Act } // kept by us
    const listed = rp === undefined ? key : key.replace('localhost', rp)
    return orRefuse(verifyAct(p, parsed({ 'parties.me.keys': [listed] }), { ...act, key: listed, ...change }))
  }),
  /** { after }: a widening approved by its owner, so many seconds after its inclusion. */
  'charter.enact': input => attempt(() => {
    const first = base()
    const lineage = charterDigest(p, first)
    const next = parsed({ epoch: 2, prev: lineage, 'grants.0.budget.uses': 5 })
    const digest = charterDigest(p, next)
    const act = signAct(signer, { verb: 'approve', lineage, digest, epoch: 2, prev: lineage, party: 'me' })
    return orRefuse(actsSatisfy(p, { lineage, prev: first, next, digest, proposedAt: NOW }, orRefuse(review(p, first, next)), [act], NOW + (input as { after: number }).after))
  }),
  /** { ends }: an emergency of the small charter (its owner may, for an hour) that ends so many seconds from now. */
  'charter.emergency': input => attempt(() => {
    const { ends } = input as { ends: number }
    const charter = parsed({ 'change.emergency': { of: ['me'], need: 1, lasts: '1h' } })
    const digest = charterDigest(p, charter)
    const subject = emergencySubject(1, { asset: 'disk', to: 'app', can: 'use', until: `${new Date((NOW + ends) * 1000).toISOString().slice(0, 19)}Z` })
    const act = signAct(signer, { verb: 'emergency', lineage: digest, digest, epoch: 1, party: 'me', subject })
    return orRefuse(emergencyAgreed(p, { lineage: digest, charter, digest }, subject, [act], NOW))
  }),
  /** { set?, view?, request?, claims?, tcb?, spent?, facts? }: decided, with each given part exchanged. */
  'charter.decide': input => attempt(() => {
    const parts = input as { set?: object; view?: object; request?: object; claims?: object; tcb?: 'current' | 'outdated'; spent?: number }
    const charter = parsed({ ...parts.set })
    const lineage = charterDigest(p, charter)
    const view: View = { lineage, charter, revoked: false, head: { time: NOW, witnesses: 1 }, enactedAt: NOW, ...parts.view }
    const request: Request = { charter: lineage, epoch: 1, program: 'app', asset: 'disk', can: 'read', nonce: new Uint8Array(32), ...parts.request }
    const program = charter.programs['app']
    const claims = { tee: 'snp', simulated: false, debug: false, hostData: program === undefined ? '' : programIdentity(p, lineage, 'app', program).slice(7), ...parts.claims }
    const judged = { claims, tcb: parts.tcb ?? 'current' } as Judged // the claims that decide reads
    return orRefuse(decide(p, view, request, judged, () => ({ uses: parts.spent ?? 0, bytes: 0, epsilon: 0 }), NOW))
  }),
}

const base = () => parsed({})
const parsed = (set: object): Charter => orRefuse(parseCharter(JSON.stringify(changed(set))))
const setOf = (input: unknown): object => (input as { set?: object }).set ?? {}

function textOf(input: unknown): string {
  const { text, repeat } = input as { text?: string; repeat?: [string, number] }
  return text ?? (repeat === undefined ? '' : repeat[0].repeat(repeat[1]))
}

/** The small charter with values set at dotted paths; null removes. */
function changed(set: object): unknown {
  const copy = structuredClone(BASE) as unknown as Record<string, unknown>
  for (const [path, value] of Object.entries(set)) {
    const keys = path.split('.')
    const last = keys.pop() ?? ''
    const holder = keys.reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, copy) // paths are ours
    if (value === null) delete holder[last]
    else holder[last] = value
  }
  return copy
}

