// A broker and its chip are gone. Parties in processes of their own, each with its own share and key, bring the lineage back
// inside another attested broker; fewer than needed, another kind of machine, another lineage or an older charter do not.
import assert from 'node:assert/strict'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { constants, createPrivateKey, sign } from 'node:crypto'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromHex } from '@cloister/core/bytes/hex'
import { parseJson } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { parseAct, signAct } from '@cloister/core/charter/acts'
import { charterDigest } from '@cloister/core/charter/canonical'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { hpkeKeyPair } from '@cloister/core/crypto/hpke'
import { formatKey } from '@cloister/core/crypto/keys'
import { drawSecret } from '@cloister/core/crypto/shamir'
import { simulatedChip } from '@cloister/core/evidence/simulated/chip'
import { takeShares, type Given } from '@cloister/core/recovery'
import { orRefuse, type Refusal, type Result } from '@cloister/core/refusal'
import { generateIdentity } from '@cloister/core/seal/age/index'
import { helloData } from '@cloister/core/seal/binding'
import { dealRecovery, recoverSubject, restKeyOf, type GivenShare, type RecoveryDocument } from '@cloister/core/seal/recovery'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { SIMULATED_ASK_KEY } from '../guest/attesters/simulated-key.ts'
import { openBytes, sealBytes } from './identity.ts'
import { charterJson, codeOf, newWorld, START, successor } from './world.fixture.ts'

const NAMES = ['alpha', 'bravo', 'carol'] as const
const BROKER = '22'.repeat(48)
const signers = Object.fromEntries(NAMES.map(name => [name, generateSigner('ed25519')]))
const pairs = Object.fromEntries(NAMES.map(name => [name, generateIdentity(p, 'hybrid', nodeRandom)]))
const { charter: first } = newWorld({
  edit: charter => {
    charter['parties'] = Object.fromEntries(NAMES.map(name => [name, { keys: [formatKey((signers[name] ?? assert.fail()).publicKey)], seal: [pairs[name]?.recipient] }]))
    charter['recover'] = { of: [...NAMES], need: 2 }
  },
})
const newest = successor(first, charter => { charter.log.head = '30m' })
const lineage = charterDigest(p, first)

/** What is left when everything inside the old broker is gone: public documents, and ciphertexts. */
interface Backup { readonly charters: readonly Charter[]; readonly document: RecoveryDocument; readonly atRest: string }
function oldBroker(): Backup {
  const root = drawSecret(nodeRandom) // drawn inside, and nowhere but here
  const document = orRefuse(dealRecovery(p, lineage, first, root, nodeRandom))
  return { charters: [first, newest], document, atRest: toBase64(sealBytes(p, restKeyOf(p, root, lineage), utf8('AGE-SECRET-KEY-A'), 'a-claims/1', nodeRandom)) }
}

/** Another machine with another chip, and keys that were made today. */
function newBroker(measurement = BROKER) {
  const ask = createPrivateKey(SIMULATED_ASK_KEY)
  const chip = simulatedChip(p, {
    fuses: nodeRandom(32), chipId: nodeRandom(64), vcek: generateSigner('p384'), now: START,
    signAsAsk: tbs => new Uint8Array(sign('sha384', tbs, { key: ask, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })),
  })
  const pair = hpkeKeyPair(p, 'x-wing', nodeRandom(32))
  const to = { seal: pair.publicKey, key: formatKey(generateSigner('p256').publicKey), nonce: nodeRandom(32) }
  const prove = (asked: string) => chip.report({ measurement: fromHex(measurement), hostData: new Uint8Array(32) }, helloData(p, { nonce: fromBase64(asked), seal: to.seal, sign: to.key }))
  return { to, secret: pair.secret, prove }
}
type NewBroker = ReturnType<typeof newBroker>

/** A share holder's process. */
class Holder {
  readonly party: string
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>
  constructor(party: string) {
    this.party = party
    this.#child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.resolve('./holder.child.ts'))], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }
  async say(message: object): Promise<Record<string, unknown>> {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`)
    const { value } = await this.#lines.next()
    return JSON.parse(String(value)) as Record<string, unknown> // what the holder prints
  }
  start(known = charterDigest(p, newest)) {
    return this.say({ party: this.party, identity: pairs[this.party]?.identity, signer: signers[this.party]?.exportPem(), lineage, known, measurement: BROKER })
  }
  kill() { this.#child.kill('SIGKILL') }
}

const started: Holder[] = []
async function holders(known?: Hash): Promise<Holder[]> {
  const all = NAMES.map(name => new Holder(name))
  started.push(...all)
  await Promise.all(all.map(holder => holder.start(known)))
  return all
}
after(() => started.forEach(holder => holder.kill()))

async function ask(holder: Holder, broker: NewBroker, backup: Backup, change: { readonly proof?: string } = {}): Promise<Result<Given>> {
  const { asked } = await holder.say({ call: 'challenge' })
  const { to } = broker
  const answer = await holder.say({
    call: 'give', now: START, evidence: broker.prove(change.proof ?? String(asked)), to: { seal: toBase64(to.seal), key: to.key, nonce: toBase64(to.nonce) },
    charters: backup.charters.map(charterJson), document: backup.document,
  })
  if (answer['refusal'] !== undefined) return { ok: false, refusal: answer['refusal'] as Refusal } // as the holder prints it
  return { ok: true, value: { share: answer['share'] as GivenShare, acts: parseActs(answer['acts']) } } // judged by `takeShares`
}

const parseActs = (acts: unknown) => { const list = parseJson(JSON.stringify(acts)); return Array.isArray(list) ? list.map(act => parseAct(act)) : assert.fail() }
const take = (broker: NewBroker, backup: Backup, given: readonly Given[], charters = backup.charters) => takeShares(p, lineage, charters, backup.document, { ...broker.to, secret: broker.secret }, given)
const backup = oldBroker()
const [alpha = assert.fail(), bravo = assert.fail(), carol = assert.fail()] = await holders()

test('two of three parties bring a lineage back in another broker; the third is gone; one alone does not', async () => {
  carol.kill()
  const broker = newBroker()
  const given = [orRefuse(await ask(alpha, broker, backup)), orRefuse(await ask(bravo, broker, backup))]
  const { root, used, faulty } = orRefuse(take(broker, backup, given))
  assert.deepEqual([used, faulty], [['alpha', 'bravo'], []])
  const opened = openBytes(p, restKeyOf(p, root, lineage), fromBase64(backup.atRest), 'a-claims/1') ?? assert.fail('the key at rest does not open')
  assert.equal(fromUtf8(opened), 'AGE-SECRET-KEY-A')
  assert.equal(codeOf(take(broker, backup, given.slice(1))), 'share.too-few')
  assert.equal(codeOf(take(newBroker(), backup, given)), 'share.too-few', 'what was given to one broker')
  assert.equal(codeOf(take({ ...broker, to: { ...broker.to, nonce: nodeRandom(32) } }, backup, given)), 'share.too-few', 'and for one recovery')
})

test('a party gives nothing to a machine that is no broker it knows, or that proves itself to somebody else', async () => {
  assert.equal(codeOf(await ask(alpha, newBroker('33'.repeat(48)), backup)), 'appraisal.measurement')
  assert.equal(codeOf(await ask(alpha, newBroker(), backup, { proof: toBase64(nodeRandom(32)) })), 'evidence.report-data')
  const [mine, theirs] = [newBroker(), newBroker()]
  assert.equal(codeOf(await ask(alpha, { ...mine, to: { ...mine.to, seal: theirs.to.seal } }, backup)), 'evidence.report-data', 'a key that the evidence does not name')
  assert.equal(codeOf(await ask(alpha, { ...mine, prove: theirs.prove }, backup)), 'evidence.report-data', 'evidence of another broker')
})

test('a party gives nothing for another lineage, a broken chain, a charter that is not the newest, or a dealing of others', async () => {
  const broker = newBroker()
  const other = successor(first, charter => { charter.log.head = '20m' })
  const stranger = newWorld({ seed: 'other' }).charter
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, charters: [stranger] })), 'charter.lineage')
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, charters: [] })), 'charter.lineage')
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, charters: [first, successor(newest, () => undefined)] })), 'charter.lineage')
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, charters: [first] })), 'charter.superseded')
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, charters: [first, other] })), 'charter.superseded')
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, document: { ...backup.document, lineage: charterDigest(p, stranger) } })), 'charter.lineage')
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, document: { ...backup.document, need: 3, commitments: [...backup.document.commitments, ...backup.document.commitments.slice(1)] } })), 'charter.quorum')
  const again = oldBroker()
  assert.equal(codeOf(await ask(alpha, broker, { ...backup, document: { ...backup.document, shares: again.document.shares } })), 'share.false')
})

test('a broker takes no share that its party did not sign for; it names it and goes on', async () => {
  const broker = newBroker()
  const [third = assert.fail()] = (await holders()).slice(2)
  const [a, b, c] = [orRefuse(await ask(alpha, broker, backup)), orRefuse(await ask(bravo, broker, backup)), orRefuse(await ask(third, broker, backup))]
  const faulty = (one: Given) => { const { used, faulty: named } = orRefuse(take(broker, backup, [a, one, c])); return [used, named.map(({ party, refusal }) => [party, refusal.code])] }
  const refused = [['alpha', 'carol'], [['bravo', 'charter.act']]]
  const { share } = b
  const body = { verb: 'recover', lineage, digest: charterDigest(p, newest), prev: lineage, epoch: 2, party: 'bravo', subject: recoverSubject(p, backup.document, share, broker.to) } as const
  const signer = signers['bravo'] ?? assert.fail()
  assert.deepEqual(faulty({ share, acts: [signAct(signer, body)] }), [['alpha', 'bravo'], []])
  for (const acts of [[], a.acts, [signAct(signers['alpha'] ?? assert.fail(), body)], [signAct(signer, { ...body, verb: 'approve' })], [signAct(signer, { ...body, digest: lineage })], [signAct(signer, { ...body, epoch: 1 })], [signAct(signer, { ...body, lineage: charterDigest(p, newest) })], [signAct(signer, { ...body, subject: recoverSubject(p, backup.document, a.share, broker.to) })], [signAct(signer, { ...body, prev: charterDigest(p, newest) })]]) assert.deepEqual(faulty({ share, acts }), refused)
  assert.deepEqual(faulty({ share: { ...share, ciphertext: a.share.ciphertext }, acts: b.acts }), refused)
  const { subject: _, ...silent } = body
  for (const acts of [b.acts, [signAct(signer, silent)]]) assert.deepEqual(faulty({ share: { ...share, enc: 'x' }, acts }), refused)
  assert.deepEqual(faulty({ share: { ...share, party: 'dave' }, acts: b.acts })[1], [['dave', 'charter.act']])
  assert.equal(codeOf(take(broker, backup, [a, b], [first])), 'share.too-few', 'given under another charter')
  for (const charters of [[newest], [first, first], [first, { ...newest, epoch: 3 }], []]) assert.equal(codeOf(take(broker, backup, [a, b], charters)), 'charter.lineage')
  assert.equal(codeOf(take(broker, { ...backup, document: { ...backup.document, need: 1, commitments: backup.document.commitments.slice(1) } }, [a, b])), 'charter.quorum')
  assert.equal(codeOf(take(broker, backup, Array.from({ length: 33 }, () => a))), 'share.threshold')
  assert.equal(orRefuse(take(broker, backup, [b, ...Array.from({ length: 31 }, () => a)])).faulty.length, 30)
})
