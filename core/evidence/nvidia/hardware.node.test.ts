// Reports of real GPUs and switches: what holds, and every byte of them flipped. The verdicts of the manifest are judged in vectors/judge.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toBase64 } from '../../bytes/base64.ts'
import { parseJson } from '../../bytes/json.ts'
import { fromUtf8 } from '../../bytes/text.ts'
import { readPem } from '../../crypto/pem.ts'
import { portable as p } from '../../crypto/portable.ts'
import { attempt } from '../../refusal.ts'
import type { VerifiedCache } from '../options.ts'
import { verifyRim } from './rim.ts'
import { nvidiaRoots } from './roots.ts'
import { checkSaid, checkSet, readSdkEvidence } from './set.ts'
import { verifyNvidia, type NvidiaEvidence } from './verify.ts'

interface Case { readonly id: string; readonly files: readonly { readonly role: string; readonly path: string }[] }
const folder = join(import.meta.dirname, '../../../../shared/vectors')
const missing = existsSync(join(folder, 'MANIFEST.json')) ? false : 'no ../shared/vectors beside this checkout'
// The manifest's form is documented beside it.
const cases = missing === false ? (JSON.parse(readFileSync(join(folder, 'MANIFEST.json'), 'utf8')) as { cases: Case[] }).cases : []
const NOW = 1_772_323_200 // 2026-03-01
const read = (id: string, role: string) => {
  const file = cases.find(one => one.id === id)?.files.find(one => one.role === role) ?? assert.fail(`${id} ${role}`)
  return new Uint8Array(readFileSync(join(folder, file.path)))
}
const evidenceOf = (id: string, report = read(id, 'report')): NvidiaEvidence => ({ kind: 'nvidia', report: toBase64(report), certificates: readPem(fromUtf8(read(id, 'chain')), 'CERTIFICATE').map(toBase64) })

test('the facts of a Hopper, a Blackwell and a switch', { skip: missing }, () => {
  const facts = (id: string) => {
    const { product, chipId, debug, facts: { device, driver, vbios, mode, peers } } = verifyNvidia(p, evidenceOf(id), { now: NOW })
    return [product, chipId, debug, device, driver, vbios, mode, peers.length]
  }
  assert.deepEqual(facts('nv-hopper-580.159.03'), ['GH100', '41e23d711e1c4fbfac', false, 'gpu', '580.159.03', '96.00.74.00.20', 'multi', 0])
  assert.deepEqual(facts('nv-hopper-590.12-b'), ['GH100', '412e7aa130caa058dd', false, 'gpu', '590.12', '96.00.A5.00.01', 'ppcie', 4])
  assert.deepEqual(facts('nv-blackwell-gb100-575.32'), ['GB100', '41e6de55c3bdc14277', false, 'gpu', '575.32', '97.00.88.00.0F', 'not-stated', 0])
  assert.deepEqual(facts('nv-switch-ls10'), ['LS10', '50203eb31ad9ed0008', false, 'switch', '', '96.10.55.00.01', 'not-stated', 7])
})

test('every byte of a genuine report flipped is refused', { skip: missing }, () => {
  const honest = read('nv-switch-ls10', 'report')
  const cache: VerifiedCache = new Map()
  assert.ok(attempt(() => verifyNvidia(p, evidenceOf('nv-switch-ls10'), { now: NOW, cache })).ok)
  for (let at = 0; at < honest.length; at += 5) {
    const altered = honest.slice()
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8))
    assert.ok(!attempt(() => verifyNvidia(p, evidenceOf('nv-switch-ls10', altered), { now: NOW, cache })).ok, `byte ${at}`)
  }
})

test('eight GPUs and four switches of one machine: a closed set, all links in both directions', { skip: missing }, () => {
  const devices = ['nv-ppcie-8xhopper', 'nv-ppcie-4xls10'].flatMap(id => readSdkEvidence(parseJson(read(id, 'evidence'))))
  const cache: VerifiedCache = new Map()
  const claims = devices.map(device => {
    const held = verifyNvidia(p, device.evidence, { now: NOW, cache })
    checkSaid(device, held)
    return held
  })
  assert.deepEqual(checkSet(claims), { gpus: 8, switches: 4, ppcie: true, absent: [], oneSided: [] })
  assert.deepEqual(checkSet(claims.slice(1)).absent, [claims[0]?.facts.pdi])
  assert.ok(!attempt(() => checkSet([...claims, ...claims.slice(0, 1)])).ok)
})

test('manifests in their time and out of it', { skip: missing }, () => {
  const rim = read('nv-hopper-550.90.07-full-rim', 'rim-vbios')
  const judge = (now: number) => attempt(() => verifyRim(p, rim, { now, root: nvidiaRoots().rim }))
  assert.ok(judge(1_767_225_600).ok)
  const late = judge(NOW)
  assert.ok(!late.ok && late.refusal.code === 'x509.expired')
  const evidence = { ...evidenceOf('nv-hopper-550.90.07-full-rim'), rims: ['rim-driver', 'rim-vbios'].map(role => toBase64(read('nv-hopper-550.90.07-full-rim', role))) }
  assert.deepEqual(verifyNvidia(p, evidence, { now: 1_767_225_600 }).facts.reference.map(one => [one.role, one.active, one.matched, one.skipped]), [['driver', 21, 21, []], ['vbios', 12, 12, []]])
  assert.ok(!attempt(() => verifyNvidia(p, evidence, { now: NOW })).ok)
})
