// Explanations of every kind of machine: the chain from root to launch, what is proven, and what is said not to be.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rememberingPort } from '../crypto/cose.fixture.ts'
import { portable } from '../crypto/portable.ts'
import { bundleOf, CHALLENGE, cpus, devicesOf, judgeWith, OPTIONS } from './bundle/bundle.fixture.ts'
import { verifyBundle } from './bundle/bundle.ts'
import type { Claims } from './claims.ts'
import { answersTo, explain, toLines } from './explain.ts'
import { INTEL, NOW, signed, verifierOf } from './result/result.fixture.ts'
import { verifyToken } from './result/token.ts'

const p = rememberingPort(portable)
const judge = judgeWith(p)
const DATA = new Uint8Array(64).fill(5)
const claimsOf = (kind: keyof typeof cpus): Claims => judge(cpus[kind](kind === 'azure' ? DATA.slice(0, 32) : DATA), OPTIONS)
const text = (claims: Claims, compared = {}) => toLines(explain(claims, compared)).join('\n')

test('each kind: who vouches for whom, in order, down to what was launched', () => {
  const expected: Readonly<Record<keyof typeof cpus, readonly RegExp[]>> = {
    snp: [/^AMD's root key for Genoa, pinned here,/, /^That key vouches for the key of one chip \(0102/, /^The chip signed/], tdx: [/^Intel's root, pinned here/, /quoting enclave/, /signed this quote/, /data sets 18 and 18, by which the platform is UpToDate/],
    sgx: [/^Intel's root/, /quoting enclave/, /signed this quote/, /UpToDate/], nitro: [/^AWS's root/, /the enclave i-/], azure: [/^AMD's root/, /one chip/, /signed this report/, /paravisor/, /TPM signed the registers of bank sha256/, /event log replays to these registers: secure boot is on/], cca: [/^You named the key/, /The platform says that it is/, /realm manager signed/],
  }
  for (const [kind, patterns] of Object.entries(expected)) {
    const { chain, notProven } = explain(claimsOf(kind as keyof typeof cpus)) // keys of the table above
    assert.equal(chain.length, patterns.length + 1, kind)
    patterns.forEach((pattern, i) => assert.match(`${chain[i]?.who} ${chain[i]?.says}`, pattern, kind))
    assert.match(chain.at(-1)?.says ?? '', /^launched [0-9a-f]{16}….* bound 0505/)
    assert.ok(notProven.some(one => one.startsWith('where the machine stands')))
  }
})

test('what was compared is proven, what was not is said not to be', () => {
  const claims = claimsOf('snp')
  assert.match(text(claims), /· that it is fresh[\s\S]*· what was launched: no reference value/)
  const all = text(claims, { nonce: true, reference: 'guest 7' })
  assert.match(all, /✔ it answers to your nonce[\s\S]*✔ what was launched is guest 7/)
  assert.doesNotMatch(all, /fresh|no reference/)
  assert.match(text({ ...claims, debug: true, migration: true, simulated: true }), /SIMULATED[\s\S]*DEBUGGING is on[\s\S]*MOVED/)
  assert.doesNotMatch(text({ ...claims, debug: true }), /✔ nobody debugs it/)
  assert.match(text({ ...claims, revocation: true }), /✔ nothing of it was revoked/)
  const tdx = claimsOf('tdx')
  assert.ok(tdx.facts.kind === 'dcap')
  assert.match(text({ ...tdx, facts: { ...tdx.facts, status: 'OutOfDate', advisories: ['INTEL-SA-1'] } }), /Intel calls it OutOfDate \(INTEL-SA-1\)/)
  assert.match(text({ ...claims, signer: 'vlek' }), /gave a cloud provider for its machines/)
})

test('devices of a bundle and the word of another verifier', () => {
  const bundle = bundleOf(devicesOf(), CHALLENGE, 'snp')
  const lines = text(verifyBundle(p, bundle, OPTIONS, judge))
  assert.match(lines, /Device 1:[\s\S]*NVIDIA's root for devices[\s\S]*Device 3:[\s\S]*this switch[\s\S]*Device 4:[\s\S]*You named this attestation key/)
  const token = verifyToken(portable, { kind: 'token', token: signed(INTEL) }, { now: NOW, verifiers: [verifierOf('ita')] })
  assert.match(text(token), /You named the verifier ita[\s\S]*found it UpToDate[\s\S]*✔ the word of ita, unaltered[\s\S]*· anything by the machine's own evidence/)
})

test('a key that somebody named is not called a pinned root', () => {
  assert.match(text(claimsOf('cca')), /✔ every signature holds up to the key that you named/)
  assert.doesNotMatch(text(claimsOf('cca')), /valid from|pinned root/)
  assert.match(text(claimsOf('snp')), /✔ every signature and certificate holds up to a pinned root\n  ✔ all certificates and documents are valid from 2025/)
})

test('which nonce it answers to', () => {
  const claims = claimsOf('snp')
  assert.ok(answersTo(claims, '05'.repeat(64)) && answersTo(claims, '05'.repeat(64).toUpperCase()))
  assert.ok(answersTo({ ...claims, reportData: `abcd${'00'.repeat(62)}` }, 'abcd'))
  for (const other of ['', '05', '05'.repeat(63), '05'.repeat(65), '06'.repeat(64)]) assert.equal(answersTo(claims, other), false, other)
  assert.equal(answersTo({ ...claims, reportData: '' }, ''), false)
  const nitro = claimsOf('nitro')
  assert.ok(nitro.facts.kind === 'nitro' && answersTo({ ...nitro, facts: { ...nitro.facts, nonce: 'ffff' } }, 'ffff'))
})
