/**
 * Every kind of evidence judged per CPU-second, everything anew (`cold`) and with the chain and collateral of one provider
 * known (`known`), against the raw signature verifications that each needs, and TDX also against `@phala/dcap-qvl` on the
 * same quotes and collateral: one run, one process, rounds taken in turns. Real evidence where ../shared is at hand.
 */
import { constants, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseJson, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { assemble, detect } from '@cloister/core/evidence/detect'
import type { Evidence } from '@cloister/core/evidence/claims'
import { parseEvidence, verifyEvidence, type VerifyOptions } from '@cloister/core/evidence/index'
import { attempt, orRefuse } from '@cloister/core/refusal'
import { tpmEvidence } from '../vectors/judge/tpm.ts'
import { generateSigner, nodePrimitives as p } from '../cloud/crypto/node.ts'
import type { Primitives, SignatureAlgorithm } from '@cloister/core/crypto/primitives'

const seconds = process.argv.includes('--quick') ? 1 : 6
const folder = join(import.meta.dirname, '../../shared/vectors')
if (!existsSync(join(folder, 'MANIFEST.json'))) {
  console.log('real evidence is needed (../shared/vectors): the benches dcap and snp use made-up evidence')
  process.exit(20)
}
interface Case { readonly id: string; readonly tee: string; readonly kind?: string; readonly valid_at: string | null; readonly files: readonly { readonly role: string; readonly path: string }[]; readonly chain?: readonly string[]; readonly expect: { readonly verdict: string } }
// The manifest's form is documented beside it.
const { cases } = JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: readonly Case[] }
const bytesOf = (path: string) => new Uint8Array(readFileSync(join(folder, path)))

/** Accepted cases of a kind: each with the evidence and the time at which it holds. */
interface Real { readonly id: string; readonly evidence: Evidence; readonly now: number; readonly one: Case; readonly aks?: readonly string[] }
function realOf(tee: string): Real[] {
  const roles = ['report', 'vek', 'quote', 'collateral', 'document', 'chain', 'crl']
  return cases.filter(one => one.tee === tee && one.kind === undefined && one.expect.verdict === 'accept' && one.valid_at !== null && !one.files.some(({ role }) => role === 'evidence')).flatMap(one => {
    const pieces = [...one.files.filter(({ role }) => roles.includes(role)).map(({ path }) => path), ...one.chain ?? []].flatMap(path => orRefuse(detect(p, { name: path, bytes: bytesOf(path) })))
    const evidence = parseEvidence(orRefuse(assemble(pieces)))
    const now = Math.floor(Date.parse(one.valid_at ?? '') / 1000)
    return evidence.ok && verifyEvidence(p, evidence.value, { now }).ok ? [{ id: one.id, evidence: evidence.value, now, one }] : []
  })
}

function rate(work: (i: number) => void): number {
  const start = process.cpuUsage()
  let done = 0
  for (const end = performance.now() + seconds * 125; performance.now() < end; done++) work(done)
  const used = process.cpuUsage(start)
  return done / ((used.user + used.system) / 1e6)
}
/** The best of eight rounds of each, in turns, so that the machine's load meets all alike. */
function rates<K extends string>(works: Readonly<Record<K, (i: number) => void>>): Record<K, number> {
  const names = Object.keys(works) as K[] // the keys of the record
  const best = Object.fromEntries(names.map(name => [name, 0])) as Record<K, number> // as above
  for (const name of names) works[name](0)
  for (let round = 0; round < 8; round++) for (const name of names) best[name] = Math.max(best[name], rate(works[name]))
  return best
}

/** What one verification of a kind costs when nothing else is done: a signature of our own over 1,000 bytes, of the same kind and size. */
const message = new Uint8Array(1000)
const rsa = new Map<number, KeyObject>()
function rawOf(algorithm: SignatureAlgorithm, bits: number): () => void {
  const [scheme = '', first = '', hash = ''] = algorithm.split('-')
  if (scheme === 'ecdsa') {
    const signer = generateSigner(first === 'p384' ? 'p384' : 'p256')
    const signature = signer.sign(message)
    return () => { if (!p.verify(algorithm, signer.publicKey, message, signature)) throw new Error('a signature did not hold') }
  }
  const key = rsa.get(bits) ?? generateKeyPairSync('rsa', { modulusLength: bits }).privateKey
  rsa.set(bits, key)
  const options = first === 'pss' ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : { key, padding: constants.RSA_PKCS1_PADDING }
  const signature = sign(hash, message, options)
  const open = { ...options, key: createPublicKey(key) }
  return () => { if (!verify(hash, message, open, signature)) throw new Error('a signature did not hold') }
}

const optionsOf = ({ now, aks }: Real, cache?: NonNullable<VerifyOptions['cache']>): VerifyOptions => ({ now, ...(aks === undefined ? {} : { aks }), ...(cache === undefined ? {} : { cache }) })

/** Quotes of TPMs with their event logs; the cases enrol their keys. */
function realTpm(): Real[] {
  return cases.filter(one => one.tee === 'tpm' && one.expect.verdict === 'accept' && !one.files.some(({ role }) => role === 'certs')).flatMap(one => {
    const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
    const found = attempt(() => tpmEvidence(one as Parameters<typeof tpmEvidence>[0], bytesOf)) // the manifest's form, as above
    if (!found.ok) return []
    const { aks } = found.value
    return found.value.evidence.filter(evidence => verifyEvidence(p, evidence, { now, aks }).ok).map(evidence => ({ id: one.id, evidence, now, one, aks }))
  })
}

/** How many verifications of each kind a list of evidence asks for, on average. */
function countOf(list: readonly Real[], cache?: NonNullable<VerifyOptions['cache']>): Map<string, number> {
  const counts = new Map<string, number>()
  const port: Primitives = { ...p, verify: (algorithm, key, ...rest) => {
    const name = `${algorithm} ${key.kind === 'rsa' ? key.n.length * 8 : 0}`
    counts.set(name, (counts.get(name) ?? 0) + 1 / list.length)
    return p.verify(algorithm, key, ...rest)
  } }
  for (const one of list) orRefuse(verifyEvidence(port, one.evidence, optionsOf(one, cache)))
  return counts
}

const line = (name: string, value: number, more = '') => console.log(`${name.padEnd(34)} ${value.toFixed(0).padStart(8)} /s  ${more}`)
const judge = (list: readonly Real[], cache?: NonNullable<VerifyOptions['cache']>) => (i: number) => {
  const one = list[i % list.length] ?? list[0]!
  orRefuse(verifyEvidence(p, one.evidence, optionsOf(one, cache)))
}

/** A kind cold and known, each against the time that its verifications alone take. */
function report(name: string, list: readonly Real[], more: Readonly<Record<string, (i: number) => void>> = {}): void {
  const cache: NonNullable<VerifyOptions['cache']> = new Map()
  countOf(list, cache)
  const counts = { cold: countOf(list), known: countOf(list, cache) }
  // A name is what countOf made of an algorithm and a size.
  const kinds = [...new Set([...counts.cold.keys(), ...counts.known.keys()])]
  const raws = Object.fromEntries(kinds.map(kind => { const [algorithm = '', bits = ''] = kind.split(' '); return [kind, rawOf(algorithm as SignatureAlgorithm, Number(bits))] }))
  const works: Record<string, (i: number) => void> = { cold: judge(list), known: judge(list, new Map()), ...more, ...raws }
  const found = rates(works)
  const peer = found['peer']
  console.log(`\n${name}: ${list.length} real ones`)
  for (const state of ['cold', 'known'] as const) {
    const needed = [...counts[state]].reduce((sum, [kind, count]) => sum + count / (found[kind] ?? Infinity), 0)
    const rate = found[state] ?? 0
    line(`  ${state}`, rate, `${(rate * needed).toFixed(2)} of its raw verifications (${[...counts[state]].map(([kind, count]) => `${count.toFixed(1)} ${kind.replace(/ 0$/, '')}`).join(', ')})${peer === undefined ? '' : `; ${(rate / peer).toFixed(1)} x the peer`}`)
  }
  if (peer !== undefined) line('  @phala/dcap-qvl', peer)
  for (const kind of kinds) line(`  raw ${kind.replace(/ 0$/, '')}`, found[kind] ?? 0)
}

// The peer is CommonJS and hands out what it was given.
const peer = createRequire(import.meta.url)('@phala/dcap-qvl') as { verify(quote: Buffer, collateral: Json, now: number): { status: string } }
const tdx = realOf('tdx')
const peerInput = tdx.map(({ one, now }) => {
  const path = (role: string) => one.files.find(file => file.role === role)?.path ?? ''
  return { quote: Buffer.from(bytesOf(path('quote'))), collateral: JSON.parse(JSON.stringify(parseJson(bytesOf(path('collateral'))))) as JsonObject, now }
}).filter(({ quote, collateral, now }) => { try { return peer.verify(quote, collateral, now).status !== '' } catch { return false } })
report(`TDX with collateral (aims: cold 4 x, known 40 x the peer, which accepts ${peerInput.length} of them)`, tdx, { peer: i => { const one = peerInput[i % peerInput.length] ?? peerInput[0]!; peer.verify(one.quote, one.collateral, one.now) } })
for (const [tee, name] of [['sev-snp', 'SEV-SNP (aim: 0.70)'], ['nitro', 'Nitro (aim: 0.70)'], ['nvidia', 'NVIDIA GPUs and switches, without manifests']] as const) {
  const list = realOf(tee)
  if (list.length > 0) report(name, list)
}
report('TPM quotes with event logs', realTpm())
