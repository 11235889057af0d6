/** A charter of three owners with keys of every plain kind, for the tests of its life on the command line. */
import { signAct, type Act, type Verb } from '@cloister/core/charter/acts'
import type { Signer } from '@cloister/core/crypto/primitives'
import { formatKey } from '@cloister/core/crypto/keys'
import { orRefuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { aboutChange, actFile, changeOf, documentsOf, type ChangeRequest } from './change.ts'

/** bravo has two keys and needs both. */
export const KEYS = { alpha: [generateSigner('ed25519')], bravo: [generateSigner('p256'), generateSigner('ed25519')], carol: [generateSigner('ml-dsa-65')] }
export const publicKey = (signer: Signer | undefined): string => (signer === undefined ? '' : formatKey(signer.publicKey))

/** As a person writes it, with comments; `notice` of a widening. */
export const charterText = (notice = '2d'): string => `# Three owners, one room.
charter: 1
name: room
epoch: 1   # the first
parties:
  alpha: { keys: ["${publicKey(KEYS.alpha[0])}"] }   # a laptop
  bravo: { keys: ["${publicKey(KEYS.bravo[0])}", "${publicKey(KEYS.bravo[1])}"], need: 2 }
  carol: { keys: ["${publicKey(KEYS.carol[0])}"] }
programs:
  match: { run: { sql: sha256:${'11'.repeat(32)} }, on: { tee: [simulated, snp] } }
assets:
  a-claims: { owner: alpha, kind: data }
  b-claims: { owner: bravo, kind: data }
  c-claims: { owner: carol, kind: data }
grants:
  # the question
  - asset: [a-claims, b-claims]
    to: match
    can: read
    out: [{ to: [alpha, bravo, carol], shape: aggregate, atLeast: 10 }]   # never fewer
  - { asset: c-claims, to: match, can: read, out: [{ to: [alpha], shape: aggregate, atLeast: 10 }] }
change: { widen: { of: [alpha, bravo, carol], need: 2, notice: ${notice} }, emergency: { of: [alpha, bravo], need: 2, lasts: 4h } }
log: { at: "https://log.example", witnesses: 1, head: 1h }
`

export const founding = (notice?: string): ChangeRequest => orRefuse(changeOf(p, charterText(notice)))

/** The next epoch, its text changed by `edit`. */
export function successorOf(base: ChangeRequest, edit: (text: string) => string): ChangeRequest {
  const text = edit(base.text.replace(/^epoch: \d+/m, `epoch: ${base.next.epoch + 1}`).replace(/^prev:.*\n/m, '').replace(/^(epoch:.*)$/m, `$1\nprev: ${base.digest}`))
  return orRefuse(changeOf(p, text, { charter: base.next, lineage: base.lineage }))
}

export const signed = (change: ChangeRequest, party: keyof typeof KEYS, verb: Verb = 'approve', keys: readonly Signer[] = KEYS[party]): Act[] => keys.map(signer => signAct(signer, { ...aboutChange(change), verb, party }))

/** The files of a change request, as they would lie on disk. */
export function filesOf(change: ChangeRequest, acts: readonly Act[] = []): Map<string, string> {
  return new Map([['charter.yaml', change.text], ...documentsOf(change), ...acts.map(act => { const file = actFile(p, act); return [file.path, file.text] as const })])
}
