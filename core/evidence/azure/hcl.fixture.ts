/** HCL reports for tests: runtime claims that name the test TPM's key, over a report of the hardware, with one change at a time. */
import { toBase64Url } from '../../bytes/base64.ts'
import { concat } from '../../bytes/bytes.ts'
import { utf8 } from '../../bytes/text.ts'
import { portable as p } from '../../crypto/portable.ts'
import type { HashName } from '../../crypto/primitives.ts'
import { le } from '../eventlog/log.fixture.ts'
import { AK_RSASSA } from '../tpm/tpm.fixture.ts'

const jwk = (kid: string) => ({ kid, key_ops: ['sign'], kty: 'RSA', e: 'AQAB', n: AK_RSASSA.key.kind === 'rsa' ? toBase64Url(AK_RSASSA.key.n) : '' })
export const CLAIMS = { keys: [jwk('HCLAkPub'), jwk('HCLEkPub')], 'vm-configuration': { 'secure-boot': true, vmUniqueId: 'D62DE809' }, 'user-data': '00'.repeat(64) }
export const claimsBytes = (change: Record<string, unknown> = {}): Uint8Array => utf8(JSON.stringify({ ...CLAIMS, ...change }))

export interface HclPlan { readonly magic: string; readonly version: number; readonly size: number; readonly request: number; readonly status: number; readonly reserved: Uint8Array; readonly dataVersion: number; readonly kind: number; readonly hash: number; readonly length: number; readonly dataSize: number; readonly tail: Uint8Array }

/** The blob around a report of the hardware. */
export function hclOf(hardware: Uint8Array, claims: Uint8Array, change: Partial<HclPlan> = {}): Uint8Array {
  const slot = concat(hardware, new Uint8Array(1184 - hardware.length))
  const plan: HclPlan = { magic: 'HCLA', version: 2, size: 1216 + 20 + claims.length, request: 2, status: 0, reserved: new Uint8Array(12), dataVersion: 1, kind: 2, hash: 1, length: claims.length, dataSize: 20 + claims.length, tail: new Uint8Array(100), ...change }
  return concat(utf8(plan.magic), le(plan.version, 4), le(plan.size, 4), le(plan.request, 4), le(plan.status, 4), plan.reserved, slot, le(plan.dataSize, 4), le(plan.dataVersion, 4), le(plan.kind, 4), le(plan.hash, 4), le(plan.length, 4), claims, plan.tail)
}

export const bound = (claims: Uint8Array, hash: HashName = 'sha256'): Uint8Array => {
  const digest = p.hash(hash, claims)
  return concat(digest, new Uint8Array(64 - digest.length))
}

/** A TDREPORT whose own hashes hold. */
export function tdReportOf(reportData: Uint8Array): Uint8Array {
  const report = new Uint8Array(1024)
  report[0] = 0x81
  report.set(reportData, 128)
  for (let i = 256; i < 1024; i++) if (i < 495 || (i >= 512 && i < 912)) report[i] = i % 251
  report.set(p.hash('sha384', report.subarray(256, 495)), 32)
  report.set(p.hash('sha384', report.subarray(512, 1024)), 80)
  return report
}
