/**
 * Refusals: what every room answers to input it does not accept (DESIGN section 5, rule 1).
 *
 * A refusal is a value with a code from one closed list; exceptions are for our own bugs. Inside a room a strict reader
 * may leave early with `refuse`; the room's public function turns that back into a value with `attempt`.
 * Trusts nothing; holds no state.
 */

/** Every code there is. `vectors/` holds at least one input for each, and a test asserts the bijection. */
export const REFUSAL_CODES = [
  // bytes: strict readers
  'bytes.truncated', 'bytes.trailing', 'bytes.too-large', 'bytes.too-deep', 'bytes.encoding',
  'json.syntax', 'json.duplicate-key', 'json.forbidden-key', 'json.number', 'der.non-canonical', 'der.tag',
  'cbor.syntax', 'cbor.non-canonical', 'cbor.duplicate-key', 'xml.syntax',
  // crypto: signatures, certificates, HPKE
  'crypto.algorithm', 'crypto.key', 'crypto.signature', 'crypto.open', 'cose.header',
  'x509.parse', 'x509.expired', 'x509.not-yet-valid', 'x509.issuer', 'x509.signature', 'x509.not-a-ca', 'x509.path-length',
  'x509.key-usage', 'x509.critical-extension', 'x509.untrusted-root', 'x509.revoked', 'crl.signature', 'crl.expired', 'crl.issuer', 'crl.missing',
  // charter: parse, review
  'charter.syntax', 'charter.limit', 'charter.unknown-field', 'charter.missing-field', 'charter.value', 'charter.dangling', 'charter.duplicate',
  'charter.quorum', 'charter.lineage', 'charter.not-a-successor', 'charter.not-approved', 'charter.notice', 'charter.stale-proposal', 'charter.act', 'emergency.bounds', 'emergency.ended', 'charter.change',
  // evidence
  'evidence.missing', 'evidence.kind', 'evidence.parse', 'evidence.version', 'evidence.product', 'evidence.chain', 'evidence.signature', 'evidence.signer',
  'evidence.tcb-mismatch', 'evidence.chip-id', 'evidence.reserved-bits', 'evidence.report-data', 'evidence.simulated', 'evidence.token', 'evidence.unsupported',
  'evidence.event-log', 'evidence.binding', 'evidence.collateral', 'evidence.reference', 'evidence.tcb-unknown',
  // appraisal
  'appraisal.debug', 'appraisal.migration', 'appraisal.vmpl', 'appraisal.tcb', 'appraisal.distrusted',
  'appraisal.measurement', 'appraisal.host-data', 'appraisal.chip', 'appraisal.expired', 'appraisal.claim', 'appraisal.register', 'appraisal.revocation', 'appraisal.policy', 'appraisal.verifier', 'corim.syntax', 'corim.profile',
  // decide (charter.md section 8)
  'head.stale', 'head.unwitnessed', 'head.unknown-charter', 'charter.superseded', 'charter.revoked', 'program.unknown', 'program.mismatch',
  'place.tee', 'place.tcb', 'place.gpu', 'place.where', 'place.debug', 'grant.none', 'grant.expired', 'grant.output', 'needs.missing', 'needs.bad-signature',
  'budget.spent', 'log.unavailable',
  // log
  'log.note', 'log.signature', 'log.checkpoint', 'log.inclusion', 'log.consistency', 'log.witnesses', 'log.origin', 'log.proof', 'log.tile', 'log.fork', 'log.request',
  // receipt
  'receipt.parse', 'receipt.type', 'receipt.signature', 'receipt.key', 'receipt.evidence', 'receipt.charter', 'receipt.subject',
  // seal
  'age.header', 'age.recipient', 'age.mac', 'age.payload', 'seal.sender', 'seal.open', 'seal.binding',
  // shares: k of n
  'share.threshold', 'share.form', 'share.index', 'share.false', 'share.too-few',
  // broker, store, provider, guest
  'broker.nonce', 'broker.replay', 'broker.request', 'broker.quota', 'broker.backup', 'asset.unknown', 'asset.key-missing', 'asset.digest', 'store.full', 'store.corrupt', 'store.locked', 'store.unavailable',
  'guest.failed', 'guest.protocol', 'guest.timeout', 'provider.host',
  // loop: a node's reports and configurations
  'loop.document', 'loop.node', 'loop.skip', 'loop.rollback', 'loop.fork', 'loop.replay', 'loop.state', 'loop.window',
  // sql engine and inputs
  'sql.syntax', 'sql.statement', 'sql.table', 'sql.function', 'sql.column', 'sql.expression', 'sql.failed', 'sql.output', 'sql.limit',
  'data.format', 'data.column', 'data.type', 'data.too-few',
  // command line
  'cli.usage', 'cli.file', 'cli.key', 'cli.unsupported',
] as const

export type RefusalCode = typeof REFUSAL_CODES[number]

/** Why something was not accepted. `got` never carries a secret: it is shown to people and written to logs. */
export interface Refusal {
  readonly code: RefusalCode
  /** Where: a path in the document (`grants[2].out`), a byte offset (`0x1a0`), or the name of a part. */
  readonly at: string
  readonly expected: string
  readonly got: string
  /** The command or line that would mend it, where there is one. */
  readonly fix?: string
}

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal }

/** Carries a refusal out of nested readers to the nearest `attempt`. Never crosses a room's public boundary. */
export class Refused extends Error {
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(`${refusal.code} at ${refusal.at}: expected ${refusal.expected}, got ${refusal.got}`)
    this.name = 'Refused'
    this.refusal = refusal
  }
}

/** Leave the current `attempt` with a refusal. */
export function refuse(code: RefusalCode, at: string, expected: string, got: string, fix?: string): never {
  throw new Refused(refusalOf(code, at, expected, got, fix))
}

/** A refusal as a plain value. */
export function refusalOf(code: RefusalCode, at: string, expected: string, got: string, fix?: string): Refusal {
  const shown = got.length > 200 ? `${got.slice(0, 200)}… (${got.length} characters)` : got
  return fix === undefined ? { code, at, expected, got: shown } : { code, at, expected, got: shown, fix }
}

/**
 * Run a reader and return its value or its refusal. Errors that are not refusals are our bugs and pass through.
 *
 * @example
 * attempt(() => refuse('bytes.truncated', '0x0', '4 bytes', '2 bytes'))
 * // → { ok: false, refusal: { code: 'bytes.truncated', at: '0x0', expected: '4 bytes', got: '2 bytes' } }
 */
export function attempt<T>(read: () => T): Result<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (error instanceof Refused) return { ok: false, refusal: error.refusal }
    throw error
  }
}

/** The same of a reader that waits for something. */
export async function attemptAsync<T>(read: () => Promise<T>): Promise<Result<T>> {
  try {
    return { ok: true, value: await read() }
  } catch (error) {
    return attempt(() => { throw error })
  }
}

/** The value of a result, or leave the current `attempt` with its refusal. */
export function orRefuse<T>(result: Result<T>): T {
  if (result.ok) return result.value
  throw new Refused(result.refusal)
}
