// A receipt bundle made part by part on a simulated chip, and every way in which one part may not fit the others.
import assert from 'node:assert/strict'
import { constants, createPrivateKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toBase64 } from '@cloister/core/bytes/base64'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { signAct, type Act } from '@cloister/core/charter/acts'
import { charterDigest, hashOf, programIdentity } from '@cloister/core/charter/canonical'
import { emergencySubject } from '@cloister/core/charter/emergency'
import { parseCharter } from '@cloister/core/charter/parse'
import type { Charter, Grant, Hash } from '@cloister/core/charter/types'
import { formatKey } from '@cloister/core/crypto/keys'
import type { Signer } from '@cloister/core/crypto/primitives'
import { evidenceDigest } from '@cloister/core/evidence/index'
import { simulatedChip, type Launched } from '@cloister/core/evidence/simulated/chip'
import { smallLog } from './log.fixture.ts'
import { verifyEnacted } from '@cloister/core/enacted'
import { parsePolicy, type LogPolicy } from '@cloister/core/log/policy'
import { encodeReceipt, parseReceipt, verifyReceiptSignature } from '@cloister/core/receipt/receipt'
import { orRefuse, type Refusal, type Result } from '@cloister/core/refusal'
import { helloData, reportData } from '@cloister/core/seal/binding'
import { parseBundle, verifyReceipt, type Logged, type ReceiptBundle, type VerifyReceiptOptions } from '@cloister/core/verify'
import fc from 'fast-check'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { SIMULATED_ASK_KEY } from '../guest/attesters/simulated-key.ts'

const NOW = 1_800_000_000
const GUEST = '11'.repeat(48)
const BROKER = '22'.repeat(48)
const ask = createPrivateKey(SIMULATED_ASK_KEY)
const chip = simulatedChip(p, {
  fuses: new Uint8Array(32), chipId: new Uint8Array(64).fill(6), vcek: generateSigner('p384'), now: NOW,
  signAsAsk: tbs => new Uint8Array(sign('sha384', tbs, { key: ask, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })),
})
const parties = { alpha: generateSigner('ed25519'), bravo: generateSigner('ed25519') }
const SEAL = new Uint8Array(1216).fill(7)
const [NONCE, HEAD] = [new Uint8Array(32).fill(8), new Uint8Array(32).fill(9)]

function charterOf(change: Record<string, unknown> = {}): Charter {
  return orRefuse(parseCharter(JSON.stringify({
    charter: 1, name: 'pair', epoch: 1, parties: Object.fromEntries(Object.entries(parties).map(([name, signer]) => [name, { keys: [formatKey(signer.publicKey)] }])),
    programs: { match: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['simulated'] } } },
    assets: { 'a-claims': { owner: 'alpha', kind: 'data' }, 'b-claims': { owner: 'bravo', kind: 'data' } },
    grants: ['a-claims', 'b-claims'].map(asset => ({ asset, to: 'match', can: 'read', budget: { uses: 3 }, out: [{ to: ['alpha', 'bravo'], shape: 'rows', about: 'own' }] })),
    change: { widen: { of: ['alpha', 'bravo'], need: 2, notice: '1h' } }, log: { at: 'https://log.test', witnesses: 1, head: '1h' }, ...change,
  })))
}

/** What may be made wrong on the way. */
interface Wrong {
  readonly guest?: Partial<Launched>
  readonly broker?: Partial<Launched>
  readonly charters?: readonly Charter[]
  readonly approvals?: (charter: Charter, lineage: Hash) => readonly Act[]
  readonly released?: Record<string, unknown>
  readonly ran?: Record<string, unknown>
  readonly ranSigner?: Signer
  readonly brokerKey?: Signer
  readonly guestKey?: Signer
  readonly bound?: Uint8Array
  readonly order?: readonly ('enacted' | 'released' | 'ran')[]
  readonly witnessedAt?: number
  readonly quorum?: number
  /** Seconds between the two heads that prove a notice, or false: the receipt has none. */
  readonly notice?: number | false
  /** Of the last epoch's receipt: fields, who signs it, and the proposal beside it. */
  readonly enacted?: Record<string, unknown>
  readonly enactedBy?: Signer
  readonly forged?: Signer
  readonly proposal?: 'missing' | 'other' | 'late'
  /** The receipt of an emergency, its fields changed, and what the bundle says of it. */
  readonly emergency?: Record<string, unknown>
  readonly emergencyAt?: 'after'
  readonly bundle?: Record<string, unknown>
}

function approve(charter: Charter, lineage: Hash, names: readonly (keyof typeof parties)[] = ['alpha', 'bravo']): Act[] {
  return names.map(party => signAct(parties[party], { verb: 'approve', lineage, digest: charterDigest(p, charter), epoch: charter.epoch, party, ...(charter.prev === undefined ? {} : { prev: charter.prev }) }))
}

/** `more` are other brokers that released to the same guest. */
function make(wrong: Wrong = {}, more: readonly Wrong[] = []): { bundle: ReceiptBundle; policy: LogPolicy; otherPolicies: LogPolicy[]; lineage: Hash } {
  const charters = wrong.charters ?? [charterOf()]
  const lineage = charterDigest(p, charters[0] ?? assert.fail())
  const guestKey = generateSigner('p256')
  const drafts = [wrong, ...more].map(one => draftOf(charters, formatKey((one.guestKey ?? guestKey).publicKey), one))
  const [{ facts, inputs }, ...others] = drafts as [Draft, ...Draft[]] // as many as there are brokers
  const also = others.map(({ released, facts: { evidence } }) => ({ released: hashOf(p, utf8(released)), evidence }))
  const ranBy = (signer: Signer) => encodeReceipt(signer, 'ran', [{ name: 'alpha/rows', digest: { sha256: '33'.repeat(32) } }], {
    ...facts, released: hashOf(p, utf8(drafts[0]?.released ?? '')), inputs, ...(also.length === 0 ? {} : { also }), ...wrong.ran,
  })
  const ran = ranBy(guestKey)
  const legs = drafts.map(({ close, rest }, i) => {
    const one = [wrong, ...more][i] ?? {}
    const { logged, policy } = close(one.ranSigner === undefined ? ran : ranBy(one.ranSigner))
    return { leg: { ...logged, ...rest, ...one.bundle }, policy }
  })
  const [first = assert.fail(), ...rest] = legs
  const made: ReceiptBundle = { bundle: 'cloister/receipt/1', ...first.leg, charters, ...(rest.length === 0 ? {} : { others: rest.map(one => one.leg) }) }
  return { bundle: orRefuse(parseBundle(JSON.stringify(made))), policy: first.policy, otherPolicies: rest.map(one => one.policy), lineage }
}

type Draft = ReturnType<typeof draftOf>

/** What one broker and the guest's evidence for it come to. */
function draftOf(charters: readonly Charter[], sign: string, wrong: Wrong) {
  const [first, charter] = [charters[0] ?? assert.fail(), charters[charters.length - 1] ?? assert.fail()]
  const [lineage, digest] = [charterDigest(p, first), charterDigest(p, charter)]
  const brokerKey = wrong.brokerKey ?? generateSigner('p256')
  const broker = { nonce: toBase64(NONCE), seal: toBase64(SEAL), key: formatKey(brokerKey.publicKey) }
  const program = { name: 'match', run: { ...charter.programs['match']?.run } }
  const hostData = fromHex(programIdentity(p, lineage, 'match', charter.programs['match'] ?? assert.fail()).slice(7))
  const evidence = chip.report({ measurement: fromHex(GUEST), hostData, ...wrong.guest }, wrong.bound ?? reportData(p, { nonce: NONCE, seal: SEAL, sign, charter: digest, head: HEAD }))
  const inputs = [{ asset: 'a-claims', version: 1, digest: `sha256:${'a'.repeat(64)}` }, { asset: 'b-claims', version: 1, digest: `sha256:${'b'.repeat(64)}` }]
  const facts = { lineage, charter: digest, epoch: charter.epoch, evidence: evidenceDigest(p, evidence), program }
  const released = encodeReceipt(brokerKey, 'released', [], { ...facts, assets: inputs, guest: { seal: hashOf(p, SEAL), sign }, nonce: toBase64(NONCE), head: toBase64(HEAD), time: NOW, ...wrong.released })
  const log = logOf(wrong)
  const earlier = charters.slice(0, -1).map(one => enact(log, brokerKey, one, lineage, {}))
  const emergency = wrong.emergency === undefined ? undefined : encodeReceipt(brokerKey, 'emergency', [], { lineage, charter: digest, epoch: charter.epoch, effective: true, time: NOW, ...wrong.emergency })
  return {
    facts, inputs, released, close: (ran: string) => closeLog(log, { earlier, enacted: () => enact(log, brokerKey, charter, lineage, wrong), released, ran, emergency }, wrong),
    rest: {
      evidence, binding: { nonce: toBase64(NONCE), seal: toBase64(SEAL), sign, charter: digest, head: toBase64(HEAD) },
      broker: { ...broker, evidence: chip.report({ measurement: fromHex(BROKER), hostData: new Uint8Array(32), ...wrong.broker }, helloData(p, { nonce: NONCE, seal: SEAL, sign: broker.key })) },
    },
  }
}

interface Parts { readonly earlier: readonly Placed[]; enacted(): Placed; readonly released: string; readonly ran: string; readonly emergency: string | undefined }

/** The last entries in the order that the test wants, and every receipt with its proof. */
function closeLog(log: Log, { earlier, enacted, released, ran, emergency }: Parts, { order = ['enacted', 'released', 'ran'], emergencyAt }: Wrong) {
  const plain = (envelope: string): Placed => ({ envelope, index: log.add(envelope) })
  const placed: Partial<Record<'enacted' | 'released' | 'ran' | 'emergency', Placed>> = {}
  for (const verb of order) {
    if (verb === 'released' && emergency !== undefined && emergencyAt === undefined) placed.emergency = plain(emergency)
    placed[verb] = verb === 'enacted' ? enacted() : plain(verb === 'released' ? released : ran)
  }
  if (emergency !== undefined) placed.emergency ??= plain(emergency)
  const { policy, prove } = log.closed()
  const logged = (place: Placed | undefined): Logged => ({ envelope: place?.envelope ?? '', proof: prove(place?.index ?? 0), ...(place?.proposed === undefined ? {} : { proposed: logged(place.proposed) }) })
  const more = { ...(earlier.length === 0 ? {} : { earlier: earlier.map(logged) }), ...(placed.emergency === undefined ? {} : { emergencies: [logged(placed.emergency)] }) }
  return { policy, logged: { enacted: logged(placed.enacted), released: logged(placed.released), ran: logged(placed.ran), ...more } }
}

interface Placed { readonly envelope: string; readonly index: number; readonly proposed?: Placed }
type Log = ReturnType<typeof logOf>

/** A log of which a head at any moment can be shown. */
function logOf({ witnessedAt = NOW, quorum = 1 }: Wrong) {
  const entries: Uint8Array[] = []
  const keys = { origin: 'log.test', signer: generateSigner('ed25519'), witness: generateSigner('ed25519'), quorum }
  const at = (time: number) => smallLog(p, { ...keys, time }, [...entries])
  return {
    add: (envelope: string) => entries.push(utf8(envelope)) - 1,
    head: (time: number) => { const proof = at(time).prove(0); return proof.slice(proof.indexOf('\n\n') + 2) },
    closed: () => at(witnessedAt),
  }
}

/** The proposal and the enactment of a charter, with the heads that prove its notice. */
function enact(log: Log, broker: Signer, charter: Charter, lineage: Hash, wrong: Wrong): Placed {
  const digest = charterDigest(p, charter)
  const about = { lineage, charter: digest, epoch: charter.epoch }
  const approvals = (wrong.approvals ?? approve)(charter, lineage)
  if (charter.prev === undefined) {
    const envelope = encodeReceipt(wrong.enactedBy ?? broker, 'enacted', [], { ...about, approvals, ...wrong.enacted })
    return { envelope, index: log.add(envelope) }
  }
  const early = wrong.proposal === 'late' ? log.head(NOW - 9000) : ''
  const proposal = encodeReceipt(broker, 'proposed', [], wrong.proposal === 'other' ? { ...about, charter: lineage } : about)
  const proposed: Placed = { envelope: proposal, index: log.add(proposal) }
  const notice = wrong.notice === false ? {} : { notice: { from: wrong.proposal === 'late' ? early : log.head(NOW - 9000), until: log.head(NOW - 9000 + (wrong.notice ?? 3600)) } }
  const statement = { ...about, approvals, ...notice, ...wrong.enacted }
  const signed = encodeReceipt(wrong.enactedBy ?? broker, 'enacted', [], statement)
  const envelope = wrong.forged === undefined ? signed : encodeReceipt(wrong.forged, 'enacted', [], statement).replace(formatKey(wrong.forged.publicKey), formatKey(broker.publicKey))
  return { envelope, index: log.add(envelope), ...(wrong.proposal === 'missing' ? {} : { proposed }) }
}

const judge = (wrong: Wrong = {}, options: Partial<VerifyReceiptOptions> = {}) => {
  const { bundle, policy } = make(wrong)
  return verifyReceipt(p, bundle, { policy, ...options })
}
const refused = (result: Result<unknown>, code: Refusal['code'], at = '') => {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  assert.ok(result.refusal.at.includes(at), result.refusal.at)
}
const next = (change: Record<string, unknown>): [Charter, Charter] => [charterOf(), charterOf({ epoch: 2, prev: charterDigest(p, charterOf()), ...change })]
const WIDER = { log: { at: 'https://log.test', witnesses: 1, head: '2h' } }

test('a whole receipt holds, and the verdict lists what was not looked at', () => {
  const { bundle, policy, lineage } = make()
  const verdict = orRefuse(verifyReceipt(p, bundle, { policy }))
  assert.equal(verdict.simulated, true)
  assert.deepEqual(verdict.checks.filter(check => check.result === 'not made').map(check => check.id), ['broker', 'lineage', 'measurement', 'outputs', 'hardware'])
  const all = orRefuse(verifyReceipt(p, bundle, { policy, lineage, measurements: [GUEST], brokers: [BROKER], outputs: ['33'.repeat(32)] }))
  assert.deepEqual(all.checks.filter(check => check.result === 'not made').map(check => check.id), ['hardware'])
  const alone = make({ quorum: 0 })
  assert.ok(orRefuse(verifyReceipt(p, alone.bundle, { policy: { ...alone.policy, witnesses: [] } })).checks.some(check => check.id === 'witnesses' && check.result === 'not made'))
})

test('what the verifier knows is compared', () => {
  refused(judge({}, { lineage: `sha256:${'0'.repeat(64)}` }), 'receipt.charter', 'charters[0]')
  refused(judge({}, { measurements: [BROKER] }), 'appraisal.measurement', 'claims')
  refused(judge({}, { brokers: [GUEST] }), 'appraisal.measurement', 'broker')
  refused(judge({}, { outputs: ['44'.repeat(32)] }), 'receipt.subject')
  refused(judge({}, { policy: make().policy }), 'log.signature')
})

test('neither guest nor broker may be debugged, migrated or unprivileged', () => {
  const debug = 0x30000n | 1n << 19n
  const migration = 0x30000n | 1n << 18n
  refused(judge({ guest: { policy: debug } }), 'appraisal.debug', 'claims')
  refused(judge({ broker: { policy: debug } }), 'appraisal.debug', 'broker')
  refused(judge({ broker: { policy: migration } }), 'appraisal.migration', 'broker')
  refused(judge({ guest: { vmpl: 1 } }), 'appraisal.vmpl', 'claims')
})

test('evidence of another session, another program, another guest', () => {
  refused(judge({ bound: new Uint8Array(64) }), 'evidence.report-data', 'evidence')
  refused(judge({ guest: { hostData: new Uint8Array(32) } }), 'program.mismatch', 'claims.hostData')
  refused(judge({ ranSigner: generateSigner('p256') }), 'receipt.key')
  refused(judge({ released: { evidence: `sha256:${'0'.repeat(64)}` } }), 'receipt.evidence')
  refused(judge({ released: { nonce: toBase64(HEAD) } }), 'receipt.evidence', 'nonce')
  refused(judge({ released: { head: toBase64(NONCE) } }), 'receipt.evidence', 'head')
  const { bundle, policy } = make()
  refused(verifyReceipt(p, { ...bundle, broker: make().bundle.broker }, { policy }), 'receipt.key')
  refused(verifyReceipt(p, { ...bundle, evidence: bundle.broker.evidence }, { policy }), 'evidence.report-data')
  refused(verifyReceipt(p, { ...bundle, ran: bundle.released }, { policy }), 'log.proof')
})

test('a release to other keys, under another charter, on a machine that the program does not name; a run of another program', () => {
  const guestKey = generateSigner('p256')
  const sign = formatKey(guestKey.publicKey)
  refused(judge({ guestKey, released: { guest: { seal: hashOf(p, SEAL), sign: formatKey(generateSigner('p256').publicKey) } } }), 'receipt.key', 'guest.sign')
  refused(judge({ guestKey, released: { guest: { seal: hashOf(p, NONCE), sign } } }), 'receipt.key', 'guest.seal')
  const other: Hash = `sha256:${'0'.repeat(64)}`
  const binding = { nonce: toBase64(NONCE), seal: toBase64(SEAL), sign, charter: other, head: toBase64(HEAD) }
  refused(judge({ guestKey, bound: reportData(p, { nonce: NONCE, seal: SEAL, sign, charter: other, head: HEAD }), bundle: { binding } }), 'receipt.charter', 'binding.charter')
  refused(judge({ charters: [charterOf({ programs: { match: { run: { sql: `sha256:${'1'.repeat(64)}` }, on: { tee: ['snp'] } } } })] }), 'place.tee')
  refused(judge({ ran: { program: { name: 'match', run: { sql: other } } } }), 'program.mismatch', 'ran.program')
})

test('inputs that were not released, in another version, or of no grant', () => {
  const input = { asset: 'a-claims', version: 1, digest: `sha256:${'a'.repeat(64)}` }
  refused(judge({ ran: { inputs: [{ ...input, digest: `sha256:${'c'.repeat(64)}` }] } }), 'receipt.subject', 'a-claims')
  refused(judge({ ran: { inputs: [{ ...input, version: 2 }] } }), 'receipt.subject', 'a-claims')
  refused(judge({ ran: { inputs: [{ ...input, asset: 'c-claims' }] }, released: { assets: [{ ...input, asset: 'c-claims' }] } }), 'grant.none', 'c-claims')
  refused(judge({ ran: { released: `sha256:${'0'.repeat(64)}` } }), 'receipt.subject', 'released')
  refused(judge({ ran: { epoch: 2 } }), 'receipt.charter', 'epoch')
})

test('the log: order, and a release that claims a time after its witnesses', () => {
  refused(judge({ order: ['enacted', 'ran', 'released'] }), 'log.proof', 'index')
  refused(judge({ order: ['released', 'enacted', 'ran'] }), 'log.proof', 'index')
  refused(judge({ witnessedAt: NOW - 301 }), 'log.proof', 'released.time')
  assert.ok(judge({ witnessedAt: NOW + 86_400 }).ok, 'a proof may be fetched later')
})

test('charters: every party founds, those who are touched approve what follows, and the chain is whole', () => {
  refused(judge({ approvals: (charter, lineage) => approve(charter, lineage, ['alpha']) }), 'charter.not-approved')
  const charters = next(WIDER)
  const verdict = orRefuse(judge({ charters }))
  assert.deepEqual(verdict.epochs.map(({ epoch, change, signed, notice }) => [epoch, change, signed.join(), notice]), [[1, 'founded', 'alpha,bravo', 'none'], [2, 'widen', 'alpha,bravo', 'proven']])
  assert.deepEqual(verdict.checks.filter(check => ['notice', 'vetoes'].includes(check.id)).map(check => check.result), ['held', 'not made'])
  refused(judge({ charters, approvals: (charter, lineage) => approve(charter, lineage, ['alpha']) }), 'charter.not-approved')
  refused(judge({ charters, approvals: () => approve(charterOf(), charterDigest(p, charterOf())) }), 'charter.not-approved')
  refused(judge({ charters: [charters[1]] }), 'receipt.charter', 'charters[0]')
  refused(judge({ charters: [charterOf({ name: 'other' }), charters[1]] }), 'receipt.charter', 'charters[1]')
})
test('epochs: each has its own receipt in the log, about itself and in order', () => {
  const [first, second] = next(WIDER)
  const third = charterOf({ ...WIDER, epoch: 3, prev: charterDigest(p, second), grants: second.grants.map(grant => (grant.asset === 'b-claims' ? { ...grant, until: '2040-01-01T00:00:00Z' } : grant)) })
  const charters = [first, second, third]
  const verdict = orRefuse(judge({ charters, approvals: (charter, lineage) => approve(charter, lineage, charter.epoch === 3 ? ['bravo'] : ['alpha', 'bravo']), notice: false, proposal: 'missing' }))
  assert.deepEqual(verdict.epochs.map(({ change, signed, notice }) => [change, signed.join(), notice]), [['founded', 'alpha,bravo', 'none'], ['widen', 'alpha,bravo', 'proven'], ['narrow', 'bravo', 'none']])
  refused(judge({ charters, approvals: (charter, lineage) => approve(charter, lineage, ['alpha']) }), 'charter.not-approved')
  const { bundle, policy } = make({ charters })
  const [one, two] = bundle.earlier ?? []
  assert.ok(one !== undefined && two !== undefined)
  const changed = (change: Partial<ReceiptBundle>) => verifyReceipt(p, { ...bundle, ...change }, { policy })
  for (const earlier of [[], [one], [one, two, two]]) {
    const result = changed({ earlier })
    assert.deepEqual(result.ok ? [] : [result.refusal.code, result.refusal.at], ['receipt.charter', 'enacted'])
  }
  const { earlier: _, ...without } = bundle
  refused(verifyReceipt(p, without, { policy }), 'receipt.charter', 'enacted')
  refused(changed({ earlier: [two, one] }), 'receipt.charter', 'enacted[0].charter')
  refused(changed({ earlier: [one, one] }), 'receipt.charter', 'enacted[1].charter')
  refused(changed({ earlier: [one, { ...two, proof: one.proof }] }), 'log.inclusion')
  refused(changed({ earlier: [one, bundle.released] }), 'receipt.type', 'enacted[1]')
  refused(judge({ enacted: { approvals: undefined } }), 'receipt.charter', 'approvals')
  refused(judge({ enacted: { lineage: `sha256:${'0'.repeat(64)}` } }), 'receipt.charter', 'lineage')
})
test('epochs: an enactment signed by nobody, and one that the log has before its predecessor\'s', () => {
  const charters = next(WIDER)
  refused(judge({ charters, forged: generateSigner('p256') }), 'receipt.signature')
  const [log, broker, lineage] = [logOf({}), generateSigner('p256'), charterDigest(p, charters[0])]
  const placed = [charters[1], charters[0]].map(charter => enact(log, broker, charter, lineage, {})).reverse()
  const { policy, prove } = log.closed()
  const enactments = placed.map(({ envelope, index, proposed }) => ({ envelope, proof: prove(index), ...(proposed === undefined ? {} : { proposed: { envelope: proposed.envelope, proof: prove(proposed.index) } }) }))
  refused(verifyEnacted(p, charters, enactments, policy), 'log.proof', 'enacted[1].index')
})
test('epochs: a veto among the acts of a widening, and a broker that the file does not prove', () => {
  const charters = next(WIDER)
  const veto = (charter: Charter, lineage: Hash) => signAct(parties.bravo, { verb: 'veto', lineage, digest: charterDigest(p, charter), epoch: 2, prev: lineage, party: 'bravo' })
  refused(judge({ charters, enacted: { vetoes: [veto(charters[1], charterDigest(p, charters[0]))] } }), 'charter.not-approved')
  refused(judge({ charters, enacted: { vetoes: 'none' } }), 'receipt.charter', 'vetoes')
  assert.ok(!orRefuse(judge({ charters })).checks.some(check => check.id === 'enactment'))
  const other = orRefuse(judge({ charters, enactedBy: generateSigner('p256') }))
  assert.ok(other.checks.some(check => check.id === 'enactment' && check.result === 'not made' && check.detail.startsWith('of epoch 2')))
})
test('epochs: a notice is proven by two heads or said to be a broker\'s word; one that did not pass is refused', () => {
  const charters = next(WIDER)
  const notice = (wrong: Wrong) => orRefuse(judge({ charters, ...wrong })).epochs[1]?.notice
  assert.equal(notice({ notice: 3600 }), 'proven')
  refused(judge({ charters, notice: 3599 }), 'charter.notice')
  refused(judge({ charters, proposal: 'late' }), 'charter.notice', 'notice.from')
  refused(judge({ charters, proposal: 'other' }), 'receipt.charter', 'proposed.charter')
  for (const wrong of [{ notice: false }, { proposal: 'missing' }, { enacted: { notice: { from: 'x', until: 'y' } } }, { enacted: { notice: 7 } }] as const) assert.equal(notice(wrong), 'stated', JSON.stringify(wrong))
  assert.ok(orRefuse(judge({ charters, notice: false })).checks.some(check => check.id === 'notice' && check.result === 'not made'))
})

const EMERGENCY = { change: { widen: { of: ['alpha', 'bravo'], need: 2, notice: '1h' }, emergency: { of: ['alpha', 'bravo'], need: 2, lasts: '4h' } } }
const at = (seconds: number) => `${new Date((NOW + seconds) * 1000).toISOString().slice(0, 19)}Z`
/** alpha grants b-claims' program nothing of bravo: an emergency does. */
function inEmergency(change: { ends?: number; who?: readonly (keyof typeof parties)[]; grant?: object; asset?: object; subject?: string } = {}): Wrong {
  const whole = charterOf(EMERGENCY)
  const charter = charterOf({ ...EMERGENCY, grants: whole.grants.slice(0, 1) })
  const digest = charterDigest(p, charter)
  const subject = change.subject ?? emergencySubject(1, { asset: 'b-claims', to: 'match', can: 'read', until: at(change.ends ?? 3600), ...change.grant } as Grant) // as the tests make it wrong
  const acts = (change.who ?? ['alpha', 'bravo']).map(party => signAct(parties[party], { verb: 'emergency', lineage: digest, digest, epoch: 1, party, subject }))
  const assets = [{ asset: 'a-claims', version: 1, digest: `sha256:${'a'.repeat(64)}`, can: 'read' }, { asset: 'b-claims', version: 1, digest: `sha256:${'b'.repeat(64)}`, can: 'read', emergency: 1, ...change.asset }]
  return { charters: [charter], emergency: { acts }, released: { assets, emergency: true } }
}
test('an emergency: its logged receipt is judged, and the verdict says so aloud', () => {
  const verdict = orRefuse(judge(inEmergency()))
  assert.deepEqual([verdict.emergency, verdict.emergencies.map(({ asset, sequence, until, signed }) => [asset, sequence, until, signed.join()])], [true, [['b-claims', 1, NOW + 3600, 'alpha,bravo']]])
  assert.ok(verdict.checks.some(check => check.id === 'emergency' && check.detail.startsWith('EMERGENCY 1: b-claims → match (read) without its owner\'s grant, until')))
  assert.deepEqual([orRefuse(judge()).emergency, orRefuse(judge()).emergencies], [false, []])
})
test('an emergency that ended, that its quorum did not sign, of another grant, or that is not there, is refused', () => {
  refused(judge({ ...inEmergency(), released: { ...inEmergency().released, time: NOW + 3600 }, witnessedAt: NOW + 3600 }), 'emergency.ended', 'released.time')
  refused(judge(inEmergency({ ends: 0 })), 'emergency.ended')
  refused(judge(inEmergency({ ends: 4 * 3600 + 1 })), 'emergency.bounds')
  refused(judge(inEmergency({ who: ['alpha'] })), 'charter.quorum', 'change.emergency')
  refused(judge({ ...inEmergency(), emergency: { acts: [] } }), 'emergency.bounds')
  refused(judge(inEmergency({ grant: { asset: 'a-claims' } })), 'emergency.bounds', 'b-claims')
  refused(judge(inEmergency({ grant: { can: 'use' } })), 'emergency.bounds', 'b-claims')
  refused(judge(inEmergency({ asset: { as: '/x' } })), 'emergency.bounds', 'b-claims')
  refused(judge(inEmergency({ asset: { emergency: 2 } })), 'emergency.bounds', 'b-claims')
  refused(judge(inEmergency({ asset: { emergency: undefined } })), 'emergency.bounds', 'released.emergency')
  refused(judge({ ...inEmergency({ asset: { emergency: undefined } }), released: { ...inEmergency({ asset: { emergency: undefined } }).released, emergency: undefined }, bundle: { emergencies: [] } }), 'grant.none', 'b-claims')
  refused(judge({ ...inEmergency(), released: { ...inEmergency().released, emergency: undefined } }), 'emergency.bounds', 'released.emergency')
  refused(judge({ ...inEmergency(), bundle: { emergencies: [] } }), 'emergency.bounds', 'b-claims')
  refused(judge({ emergency: { acts: [] } }), 'emergency.bounds')
  refused(judge({ ...inEmergency(), emergencyAt: 'after' }), 'log.proof', 'emergencies[0].index')
  refused(judge({ ...inEmergency(), emergency: { ...inEmergency().emergency, charter: `sha256:${'0'.repeat(64)}` } }), 'receipt.charter', 'emergencies[0].charter')
  refused(judge({ ...inEmergency(), emergency: { ...inEmergency().emergency, time: NOW + 301 } }), 'log.proof', 'emergencies[0].time')
  const { bundle, policy } = make(inEmergency())
  refused(verifyReceipt(p, { ...bundle, emergencies: [...bundle.emergencies ?? [], ...bundle.emergencies ?? []] }, { policy }), 'receipt.parse', 'emergencies')
  refused(judge({ ...inEmergency(), released: {} }), 'receipt.parse', 'emergencies')
})

const inputNamed = (name: string) => ({ asset: `${name}-claims`, version: 1, digest: `sha256:${name.repeat(64)}` })
const [A, B] = [inputNamed('a'), inputNamed('b')]
const SPLIT = { need: 2, of: 3, split: `sha256:${'5'.repeat(64)}` }
const part = (index: number, change: object = {}): Wrong => ({ released: { assets: [{ ...A, share: { index, ...SPLIT, ...change } }, B] } })
const splits = { splits: [{ asset: 'a-claims', ...SPLIT }] }
const judgeSplit = (first: Wrong, more: readonly Wrong[], change: (bundle: ReceiptBundle) => ReceiptBundle = bundle => bundle, options: Partial<VerifyReceiptOptions> = {}) => {
  const { bundle, policy, otherPolicies } = make(first, more)
  return verifyReceipt(p, change(bundle), { policy, otherPolicies, ...options })
}

test('a split key: as many brokers released their own share of one split as it needs, each in a log of its own', () => {
  const verdict = orRefuse(judgeSplit({ ...part(1), ran: splits }, [part(3)]))
  assert.deepEqual(verdict.checks.filter(check => ['release', 'shares'].includes(check.id)).map(check => check.detail), ['signed by 2 brokers, each with a log and evidence of its own', 'a-claims: 2 of 3 brokers had to agree, and did'])
  assert.ok(judgeSplit({ ...part(1), ran: splits }, [part(3), part(2)]).ok)
  refused(judgeSplit({ ...part(1), ran: splits }, []), 'share.too-few', 'released.assets (a-claims)')
  refused(judgeSplit({ ...part(1), ran: splits }, [part(1)]), 'share.too-few')
  for (const other of [{ split: `sha256:${'6'.repeat(64)}` }, { need: 1 }, { of: 4 }]) refused(judgeSplit({ ...part(1), ran: splits }, [part(2, other)]), 'share.too-few')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ released: { assets: [B] } }]), 'share.too-few')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ released: { assets: [A, B] } }]), 'share.too-few')
  refused(judgeSplit(part(1), [part(2)]), 'share.too-few', 'ran.splits (a-claims)')
  assert.ok(judgeSplit({ released: { assets: [A] } }, [{ released: { assets: [B] } }]).ok, 'whole keys of two brokers')
})

test('several brokers: each leg by itself, each broker once, one run, all of them in what the guest signed', () => {
  const brokerKey = generateSigner('p256')
  refused(judgeSplit({ ...part(1), ran: splits, brokerKey }, [{ ...part(2), brokerKey }]), 'receipt.key', 'others[0].broker.key')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), brokerKey }, { ...part(3), brokerKey }]), 'receipt.key', 'others[1].broker.key')
  refused(judgeSplit({ ...part(1), ran: { ...splits, also: [] } }, [part(2)]), 'receipt.subject', 'released')
  const { bundle: { others: [other] = [] } } = make(part(1), [part(2)])
  const digest = hashOf(p, utf8(other?.released.envelope ?? ''))
  refused(judgeSplit({ ...part(1), ran: { ...splits, also: [{ released: digest, evidence: digest }] } }, [part(2)]), 'receipt.subject')
  refused(judgeSplit({ ...part(1), ran: { ...splits, evidence: digest } }, [part(2)]), 'receipt.charter', 'evidence')
  refused(judgeSplit({ ...part(1), ran: splits }, [part(2)], bundle => ({ ...bundle, others: (bundle.others ?? []).map(leg => ({ ...leg, ran: leg.released })) })), 'log.proof')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), ranSigner: brokerKey }]), 'receipt.subject', 'others[0].ran')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), guestKey: brokerKey }]), 'receipt.key', 'others[0].binding.sign')
  refused(judgeSplit({ ...part(1), ran: splits }, [part(2)], bundle => ({ ...bundle, others: (bundle.others ?? []).map(leg => ({ ...leg, binding: { ...leg.binding, sign: formatKey(brokerKey.publicKey) } })) })), 'evidence.report-data')
  refused(judgeSplit({ ...part(1), ran: splits }, [part(2)], bundle => bundle, { otherPolicies: [] }), 'log.signature')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), guest: { policy: 0xb0000n } }]), 'appraisal.debug', 'claims')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), broker: { policy: 0xb0000n } }]), 'appraisal.debug', 'broker')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), approvals: (charter, lineage) => approve(charter, lineage, ['alpha']) }]), 'charter.not-approved')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), witnessedAt: NOW - 301 }]), 'log.proof', 'released.time')
  refused(judgeSplit({ ...part(1), ran: splits }, [part(2)], bundle => bundle, { brokers: ['33'.repeat(48)] }), 'appraisal.measurement', 'broker')
  const odd = fromHex('44'.repeat(48))
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), broker: { measurement: odd } }], bundle => bundle, { brokers: [BROKER] }), 'appraisal.measurement', 'broker')
  refused(judgeSplit({ ...part(1), ran: splits }, [{ ...part(2), guest: { measurement: odd } }], bundle => bundle, { measurements: [GUEST] }), 'appraisal.measurement', 'claims')
})

test('legs are read as strictly as the first', () => {
  const { bundle } = make({ ...part(1), ran: splits }, [part(2)])
  const [other] = bundle.others ?? []
  const read = (others: unknown) => parseBundle(JSON.stringify({ ...bundle, others }))
  assert.deepEqual(orRefuse(read([other])), bundle)
  for (const others of [[{ ...other, note: 1 }], [{ ...other, charters: [] }], [1], {}, [{}], Array.from({ length: 32 }, () => other)]) refused(read(others), 'receipt.parse')
  assert.equal(orRefuse(read([])).others, undefined)
})

test('a bundle says nothing that is not judged', () => {
  const { bundle } = make()
  const extra: object[] = [{ ...bundle, note: 'x' }, { ...bundle, ran: { ...bundle.ran, note: 'x' } }, { ...bundle, binding: { ...bundle.binding, note: 'x' } }, { ...bundle, broker: { ...bundle.broker, note: 'x' } }]
  for (const one of extra) refused(parseBundle(JSON.stringify(one)), 'receipt.parse', 'note')
})

const fixtures = join(import.meta.dirname, '..', '..', 'vectors', 'fixtures')
test('the kept receipt: any byte of the file changed, and it is refused', () => {
  const bytes = new Uint8Array(readFileSync(join(fixtures, 'run.receipt.json')))
  const policy = orRefuse(parsePolicy(fromUtf8(new Uint8Array(readFileSync(join(fixtures, 'log.policy'))))))
  const verdict = (file: Uint8Array) => {
    const bundle = parseBundle(file)
    return bundle.ok ? verifyReceipt(p, bundle.value, { policy }) : bundle
  }
  assert.ok(verdict(bytes).ok)
  fc.assert(fc.property(fc.nat(bytes.length - 2), fc.integer({ min: 1, max: 255 }), (at, change) => {
    const file = bytes.slice()
    file[at] = (file[at] ?? 0) ^ change
    const result = verdict(file)
    assert.ok(!result.ok, `byte ${at} xor ${change}: ${Buffer.from(bytes.slice(Math.max(0, at - 20), at + 20)).toString('latin1')}`)
  }), { numRuns: 400 })
})

test('a receipt: one text, one signature, one meaning', () => {
  const signer = generateSigner('p256')
  const key = formatKey(signer.publicKey)
  const envelope = encodeReceipt(signer, 'ran', [{ name: 'a', digest: { sha256: toHex(p.hash('sha256', utf8('a'))) } }], { epoch: 1 })
  const receipt = orRefuse(parseReceipt(envelope))
  assert.deepEqual([receipt.verb, receipt.predicate['epoch'], verifyReceiptSignature(p, receipt, key).ok], ['ran', 1, true])
  refused(verifyReceiptSignature(p, receipt, formatKey(generateSigner('p256').publicKey)), 'receipt.key')
  const believed = (text: string) => {
    const parsed = parseReceipt(text)
    return parsed.ok ? verifyReceiptSignature(p, parsed.value, key) : parsed
  }
  fc.assert(fc.property(fc.nat(envelope.length - 1), fc.integer({ min: 33, max: 126 }), (at, code) => {
    const changed = envelope.slice(0, at) + String.fromCharCode(code) + envelope.slice(at + 1)
    if (changed !== envelope) assert.ok(!believed(changed).ok, changed)
  }), { numRuns: 400 })
})
