/** Judges the cases of AWS Nitro Enclaves: one file `document`, at `valid_at`, under the pinned root; debug is not accepted. */
import { toBase64 } from '@cloister/core/bytes/base64'
import { allZero } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import { parseDocument } from '@cloister/core/evidence/nitro/document'
import { verifyNitro } from '@cloister/core/evidence/nitro/verify'
import { attempt, refusalOf, type Refusal } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

interface Case { readonly files: readonly { readonly role: string; readonly path: string }[]; readonly valid_at?: string | null; readonly expect: { readonly verdict: string; readonly fields?: Record<string, unknown> } }
interface Judgement { readonly verdict: 'accept' | 'reject' | 'unsupported'; readonly differs: string[]; readonly refusal?: Refusal }

export function judge(one: Case, read: (path: string) => Uint8Array): Judgement {
  const path = one.files.find(file => file.role === 'document')?.path
  if (path === undefined) return { verdict: 'unsupported', differs: [] }
  const bytes = read(path)
  const crls = one.files.filter(file => file.role === 'crl').map(file => toBase64(read(file.path)))
  const now = Math.floor(Date.parse(one.valid_at ?? '2026-03-01T00:00:00Z') / 1000)
  const result = attempt(() => verifyNitro(p, { kind: 'nitro', document: toBase64(bytes), ...(crls.length === 0 ? {} : { crls }) }, { now }))
  const differs = differences(bytes, one.expect.fields ?? {})
  if (!result.ok) return { verdict: 'reject', differs, refusal: result.refusal }
  return result.value.debug ? { verdict: 'reject', differs, refusal: refusalOf('appraisal.debug', 'claims.debug', 'false', 'true') } : { verdict: 'accept', differs }
}

/** Expected fields that the document has under another value, signed or not. */
function differences(bytes: Uint8Array, expected: Record<string, unknown>): string[] {
  const parsed = attempt(() => parseDocument(bytes))
  if (!parsed.ok) return []
  const { moduleId, digest, timestampMs, pcrs, userData, nonce, publicKey } = parsed.value
  const hex = (value: Uint8Array | undefined) => toHex(value ?? new Uint8Array(0))
  const got: Record<string, unknown> = {
    module_id: moduleId, digest, timestamp: timestampMs, npcr: pcrs.size, user_data: hex(userData), nonce: hex(nonce), public_key: hex(publicKey), debug: allZero(pcrs.get(0) ?? new Uint8Array(0)),
    // Registers that were never extended are left out of the manifest.
    pcrs: Object.fromEntries([...pcrs].filter(([, value]) => !allZero(value)).map(([index, value]) => [String(index), toHex(value)])),
  }
  return Object.entries(expected).filter(([name, value]) => name in got && text(name, value) !== text(name, got[name])).map(([name, value]) => `${name}: expected ${JSON.stringify(value)}, got ${JSON.stringify(got[name])}`)
}

function text(name: string, value: unknown): string {
  if (name === 'timestamp') return String(typeof value === 'number' ? value : Date.parse(String(value)))
  return typeof value === 'object' && value !== null ? JSON.stringify(Object.entries(value).toSorted(([a], [b]) => Number(a) - Number(b))) : String(value).toLowerCase()
}
