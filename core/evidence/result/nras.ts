/**
 * NVIDIA's Remote Attestation Service: one token over all devices, and one token for each, held together by digests. The
 * whole counts as far as its parts are there: a device that only has a digest is a device that nobody showed.
 * Trusts: that the whole was verified, and the function handed in to verify each part.
 */
import { isObject, shown, type Json, type JsonObject } from '../../bytes/json.ts'
import { toHex } from '../../bytes/hex.ts'
import { utf8 } from '../../bytes/text.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { refuse } from '../../refusal.ts'
import { noncesOf, textOf, type Reading } from './forms.ts'

/** Claims from NVIDIA's tokens; `device` verifies the token of one device and gives its claims. Leaves with `evidence.token` or `evidence.binding`. */
export function readNras(p: Primitives, claims: JsonObject, detached: Readonly<Record<string, string>>, device: (token: string) => JsonObject): Reading {
  if (claims['x-nvidia-overall-att-result'] !== true) refuse('evidence.token', 'token.x-nvidia-overall-att-result', 'true', shown(claims['x-nvidia-overall-att-result']))
  const nonces = noncesOf(claims['eat_nonce'])
  const submods = claims['submods']
  if (!isObject(submods) || Object.keys(submods).length === 0) return refuse('evidence.token', 'token.submods', 'devices', submods === undefined ? 'nothing' : shown(submods))
  const stranger = Object.keys(detached).find(name => !Object.hasOwn(submods, name))
  if (stranger !== undefined) refuse('evidence.binding', `detached.${stranger}`, Object.keys(submods).join(', '), 'a device that the token does not name')
  const devices = Object.entries(submods).map(([name, digest]) => {
    const token = Object.hasOwn(detached, name) ? detached[name] : undefined
    return token === undefined ? refuse('evidence.missing', `detached.${name}`, 'the token of this device', 'nothing', 'ask for the detached claims and add them') : readDevice(p, name, token, digest, nonces, device)
  })
  const twice = devices.find((one, i) => devices.findIndex(other => other.chipId === one.chipId) !== i)
  if (twice !== undefined) refuse('evidence.binding', 'detached', 'each device once', `${twice.chipId || 'a device without ueid'} twice`)
  const [first] = devices
  const same = (of: (one: Device) => string) => [...new Set(devices.map(of))].join(', ')
  return {
    tee: 'nvidia', product: same(one => one.product), measurement: '', registers: { driver: same(one => one.driver), vbios: same(one => one.vbios) }, hostData: '', chipId: devices.length === 1 ? first?.chipId ?? '' : '',
    debug: devices.some(one => one.debug), migration: false, nonces, status: devices.every(one => one.good) ? 'UpToDate' : '', advisories: [],
  }
}

/** What a device's token must say aloud: a check that is not mentioned was not made (NVIDIA's own reader takes it for true). */
const MUST_HOLD = {
  gpu: ['attestation-report-nonce-match', 'attestation-report-signature-verified', 'attestation-report-cert-chain-fwid-match', 'driver-rim-signature-verified', 'vbios-rim-signature-verified', 'arch-check'],
  switch: ['attestation-report-nonce-match', 'attestation-report-signature-verified', 'attestation-report-cert-chain-fwid-match', 'bios-rim-signature-verified', 'arch-check'],
} as const

interface Device { readonly product: string; readonly driver: string; readonly vbios: string; readonly chipId: string; readonly debug: boolean; readonly good: boolean }

function readDevice(p: Primitives, name: string, token: string, digest: Json, nonces: readonly string[], verified: (token: string) => JsonObject): Device {
  const at = `detached.${name}`
  const expected = Array.isArray(digest) && digest[0] === 'DIGEST' && Array.isArray(digest[1]) && digest[1][0] === 'SHA-256' ? digest[1][1] : refuse('evidence.token', `token.submods.${name}`, 'a SHA-256 digest', shown(digest))
  const found = toHex(p.hash('sha256', utf8(token)))
  if (found !== expected) refuse('evidence.binding', at, `the token with digest ${shown(expected)}`, found)
  const claims = verified(token)
  if (noncesOf(claims['eat_nonce']).join() !== nonces.join()) refuse('evidence.binding', `${at}.eat_nonce`, nonces.join(), noncesOf(claims['eat_nonce']).join())
  const failed = Object.entries(claims).find(([key, value]) => key.startsWith('x-nvidia-') && value === false)
  const text = (key: string) => (claims[key] === undefined ? '' : textOf(claims[key], `${at}.${key}`))
  const kind = claims['x-nvidia-device-type'] === 'nvswitch' ? 'switch' : 'gpu'
  return {
    product: text('hwmodel'), driver: text(`x-nvidia-${kind}-driver-version`), vbios: text(`x-nvidia-${kind}-${kind === 'gpu' ? 'vbios' : 'bios'}-version`), chipId: text('ueid'),
    debug: claims['dbgstat'] !== 'disabled' || claims['secboot'] !== true, good: failed === undefined && ['comparison-successful', 'success'].includes(text('measres')) && MUST_HOLD[kind].every(key => claims[`x-nvidia-${kind}-${key}`] === true),
  }
}
