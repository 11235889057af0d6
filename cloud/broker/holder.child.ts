/**
 * A party that holds a recovery share, as a process of its own: JSON lines in, JSON lines out. The first line brings what
 * the party has (identity, signing key, what it trusts); `challenge` gives a nonce for the broker's evidence, `give` judges
 * the broker and gives the share, or the refusal. Its keys never leave it.
 */
import { createInterface } from 'node:readline'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { isObject, parseJsonObject, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { charterOf } from '@cloister/core/charter/parse'
import type { Hash } from '@cloister/core/charter/types'
import { parseEvidence } from '@cloister/core/evidence/index'
import { giveShare, type ShareHolder } from '@cloister/core/recovery'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { parseRecovery } from '@cloister/core/seal/recovery'
import { importSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'

let holder: ShareHolder | undefined
let asked = new Uint8Array(0)

for await (const line of createInterface({ input: process.stdin })) {
  const answer = attempt(() => {
    const message = parseJsonObject(line)
    if (holder === undefined) { holder = holderOf(message); return { holds: holder.party } }
    if (message['call'] === 'challenge') { asked = Uint8Array.from(nodeRandom(32)); return { asked: toBase64(asked) } }
    return orRefuse(giveShare(p, holder, callOf(message), Number(message['now']), nodeRandom))
  })
  process.stdout.write(`${JSON.stringify(answer.ok ? answer.value : { refusal: answer.refusal })}\n`)
}

function holderOf(message: JsonObject): ShareHolder {
  const measurement = text(message, 'measurement')
  return {
    party: text(message, 'party'), identities: [text(message, 'identity')], signers: [importSigner(text(message, 'signer'))], lineage: text(message, 'lineage') as Hash, known: text(message, 'known') as Hash, // compared, and written by the test
    brokers: { tee: ['simulated'], tcb: 'current', measurements: [{ tee: 'simulated', hex: measurement, name: 'broker' }], distrust: {} },
  }
}

/** What the broker shows; the nonce is our own, whatever the message says. */
function callOf(message: JsonObject) {
  const to = message['to']
  const charters = message['charters']
  if (!isObject(to) || !Array.isArray(charters)) return refuse('guest.protocol', 'message', 'a broker and its charters', 'another value')
  return {
    asked, evidence: orRefuse(parseEvidence(message['evidence'])), document: parseRecovery(message['document']), charters: charters.map((one: Json) => charterOf(one)),
    to: { seal: fromBase64(text(to, 'seal')), key: text(to, 'key'), nonce: fromBase64(text(to, 'nonce')) },
  }
}

function text(message: JsonObject, key: string): string {
  const value = message[key]
  return typeof value === 'string' ? value : refuse('guest.protocol', key, 'a text', typeof value)
}
