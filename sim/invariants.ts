/**
 * What must hold after every step (attacks.md section 4), judged from outside: from the log, its witnessed heads, and what
 * guests and parties were told.
 */
import assert from 'node:assert/strict'
import { toHex } from '@cloister/core/bytes/hex'
import { isObject } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { verifyProof } from '@cloister/core/log/proof'
import { parseReceipt, verifyReceiptSignature, type Receipt } from '@cloister/core/receipt/receipt'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'
import { entriesOf } from '../cloud/broker/world.fixture.ts'
import type { Sim } from './world.ts'

export async function checkInvariants(sim: Sim): Promise<void> {
  const { text, receipts } = await logOf(sim)
  nothingLost(sim, text)
  receiptBeforeKey(sim, text)
  underTheNewestCharter(sim, receipts)
  withinBudgets(sim, receipts)
  oncePerChallenge(sim)
  await oneHistory(sim)
  narrowingHolds(sim)
  widenedTogether(receipts)
}

/** Everything acknowledged is in the log. */
function nothingLost(sim: Sim, text: readonly string[]): void {
  for (const receipt of sim.seen.acknowledged) assert.ok(text.includes(receipt), 'an acknowledged receipt is not in the log')
}

/** No key left without its receipt, durable, witnessed, and verifiable offline now as it was then. */
function receiptBeforeKey(sim: Sim, text: readonly string[]): void {
  const [broker] = sim.brokers
  assert.ok(broker !== undefined)
  const last = sim.seen.released.at(-1)
  if (last === undefined) return
  assert.ok(text.includes(last.receipt))
  orRefuse(verifyProof(p, utf8(last.receipt), last.proof, broker.ledger.policy))
  const receipt = orRefuse(parseReceipt(last.receipt))
  orRefuse(verifyReceiptSignature(p, receipt, broker.key))
}

/** Read along the log: a release names the charter that was newest where it stands. */
function underTheNewestCharter(sim: Sim, receipts: readonly Receipt[]): void {
  let newest = ''
  for (const { verb, predicate } of receipts) {
    if (verb === 'enacted') newest = String(predicate['charter'])
    if (verb === 'released') assert.equal(predicate['charter'], newest, 'a release under a charter that was not the newest')
  }
}

function withinBudgets(sim: Sim, receipts: readonly Receipt[]): void {
  for (const asset of ['a-claims', 'b-claims']) {
    const released = receipts.filter(({ verb, subject }) => verb === 'released' && subject.some(one => one.name === asset))
    assert.ok(released.length <= sim.uses, `${asset} was released ${released.length} times, at most ${sim.uses} were granted`)
  }
}

function oncePerChallenge(sim: Sim): void {
  const nonces = sim.seen.released.map(one => one.nonce)
  assert.equal(new Set(nonces).size, nonces.length, 'one challenge released twice')
}

/** No two roots for one size, in anything that was ever shown. */
async function oneHistory(sim: Sim): Promise<void> {
  const shown = (await sim.world.store().list({ prefix: 'log/' })).find(entry => entry.key.endsWith('/shown'))?.value
  const proofs = sim.seen.released.slice(-1).map(one => one.proof.slice(one.proof.indexOf('\n\n') + 2))
  for (const head of [...(shown === undefined ? [] : [fromUtf8(shown)]), ...proofs]) {
    const { size, root } = orRefuse(parseCheckpoint(head))
    const known = sim.seen.roots.get(size)
    assert.ok(known === undefined || known === toHex(root), `two roots for size ${size}`)
    sim.seen.roots.set(size, toHex(root))
  }
}

/** A revocation holds from its acknowledgement on. */
function narrowingHolds(sim: Sim): void {
  for (const [asset, size] of sim.seen.revoked) {
    const later = sim.seen.released.filter(one => one.assets.includes(asset) && one.at > size)
    assert.deepEqual(later.map(one => one.at), [], `${asset} was released after its owner's revocation was acknowledged`)
  }
}

/** Every widening in the log carries every touched owner's approval. */
function widenedTogether(receipts: readonly Receipt[]): void {
  for (const { verb, predicate } of receipts) {
    if (verb !== 'enacted' || predicate['change'] === 'narrow') continue
    const approvals = predicate['approvals']
    const parties = Array.isArray(approvals) ? approvals.map(act => (isObject(act) ? act['party'] : undefined)) : []
    for (const party of ['alpha', 'bravo']) assert.ok(parties.includes(party), `a charter was widened without ${party}`)
  }
}

async function logOf(sim: Sim): Promise<{ text: string[]; receipts: Receipt[] }> {
  const text = await entriesOf(sim.world)
  return { text, receipts: text.map(entry => orRefuse(parseReceipt(entry))) }
}
