/**
 * @cloister/core: what a relying party must trust. Pure TypeScript: no network, no clock, no randomness of its own; they
 * come in as arguments. Runs in Node >= 20, browsers and workers.
 */
export { attempt, REFUSAL_CODES, type Refusal, type RefusalCode, type Result } from './refusal.ts'
export { portable } from './crypto/portable.ts'
export type { Primitives, Random, Signer } from './crypto/primitives.ts'
export { parseCharter } from './charter/parse.ts'
export { canonicalCharter, charterDigest, programIdentity } from './charter/canonical.ts'
export { review, type Review } from './charter/review.ts'
export { decide, outputsOf } from './charter/decide.ts'
export { evidenceDigest, parseEvidence, verifyEvidence } from './evidence/index.ts'
export type { Claims, Evidence } from './evidence/claims.ts'
export { appraise, type Appraisal, type AppraisalPolicy } from './appraisal/appraise.ts'
export { parsePolicy, type LogPolicy } from './log/policy.ts'
export { verifyProof } from './log/proof.ts'
export { parseReceipt, verifyReceiptSignature } from './receipt/receipt.ts'
export { parseBundle, verifyReceipt, type ReceiptBundle, type Verdict } from './verify.ts'
