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
import { parseCharter } from '@cloister/core/charter/parse'
import type { Charter, Hash } from '@cloister/core/charter/types'
import { formatKey } from '@cloister/core/crypto/keys'
import type { Signer } from '@cloister/core/crypto/primitives'
import { evidenceDigest } from '@cloister/core/evidence/index'
import { simulatedChip, type Launched } from '@cloister/core/evidence/simulated/chip'
import { smallLog } from './log.fixture.ts'
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
  const legs = drafts.map(({ enacted, released, rest }, i) => {
    const one = [wrong, ...more][i] ?? {}
    const { logged, policy } = logAll({ enacted, released, ran: one.ranSigner === undefined ? ran : ranBy(one.ranSigner) }, one)
    return { leg: { ...logged, ...rest }, policy }
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
  const enacted = encodeReceipt(brokerKey, 'enacted', [], { lineage, charter: digest, epoch: charter.epoch, approvals: (wrong.approvals ?? approve)(charter, lineage) })
  const released = encodeReceipt(brokerKey, 'released', [], { ...facts, assets: inputs, guest: { seal: hashOf(p, SEAL), sign }, nonce: toBase64(NONCE), head: toBase64(HEAD), time: NOW, ...wrong.released })
  return {
    facts, inputs, enacted, released,
    rest: {
      evidence, binding: { nonce: toBase64(NONCE), seal: toBase64(SEAL), sign, charter: digest, head: toBase64(HEAD) },
      broker: { ...broker, evidence: chip.report({ measurement: fromHex(BROKER), hostData: new Uint8Array(32), ...wrong.broker }, helloData(p, { nonce: NONCE, seal: SEAL, sign: broker.key })) },
    },
  }
}

function logAll(envelopes: Record<'enacted' | 'released' | 'ran', string>, { order = ['enacted', 'released', 'ran'], witnessedAt = NOW, quorum = 1 }: Wrong): { logged: Record<'enacted' | 'released' | 'ran', Logged>; policy: LogPolicy } {
  const { policy, prove } = smallLog(p, { origin: 'log.test', signer: generateSigner('ed25519'), witness: generateSigner('ed25519'), quorum, time: witnessedAt }, order.map(verb => utf8(envelopes[verb])))
  const part = (verb: 'enacted' | 'released' | 'ran'): Logged => ({ envelope: envelopes[verb], proof: prove(order.indexOf(verb)) })
  return { logged: { enacted: part('enacted'), released: part('released'), ran: part('ran') }, policy }
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
  const verdict = judge({ charters })
  assert.ok(verdict.ok, JSON.stringify(verdict))
  assert.ok(verdict.value.checks.some(check => check.id === 'approvals' && check.result === 'not made'))
  assert.ok(!judge({ charters, approvals: (charter, lineage) => approve(charter, lineage, ['alpha']) }).ok, 'a widening by one')
  assert.ok(!judge({ charters, approvals: () => approve(charterOf(), charterDigest(p, charterOf())) }).ok, 'the approvals of the epoch before')
  refused(judge({ charters: [charters[1]] }), 'receipt.charter', 'charters[0]')
  refused(judge({ charters: [charterOf({ name: 'other' }), charters[1]] }), 'receipt.charter', 'charters[1]')
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
