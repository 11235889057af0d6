/** Targets of machines in several parts: our own bundles, and documents of other systems in every form that is read. */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { fromHex } from '@cloister/core/bytes/hex'
import { jcs } from '@cloister/core/bytes/jcs'
import { isObject, parseJson, parseJsonObject, type Json, type JsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { readBundle, verifyBundle } from '@cloister/core/evidence/bundle/bundle'
import { readForeign, verifyForeign } from '@cloister/core/evidence/foreign/foreign'
import { gunzip } from '@cloister/core/evidence/foreign/gzip'
import { parseEvidence } from '@cloister/core/evidence/index'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { writePem } from '../../core/crypto/pem.ts'
import { bundleOf, CHALLENGE, devicesOf, judgeWith, OPTIONS } from '../../core/evidence/bundle/bundle.fixture.ts'
import { cocoAzure, cocoAzureFirst, cocoCca, cocoSnp, cocoTpm, COLLATERAL, dstackGuest, FABRIC, gzipped, kbsRequest, pcsEntry, sdkDevice, snp, tinfoil2, tinfoil3 } from '../../core/evidence/foreign/foreign.fixture.ts'
import { changeBytes } from '../bytes.ts'
import type { Draw } from '../draw.ts'
import { believing, evidenceTargets, unordered } from '../signed.ts'
import type { Target } from '../target.ts'
import { changeJson } from '../texts.ts'

/** Collateral of a part may be other than it was, and lists may be left out; all else is what the CPU signed over. */
const bound = (json: JsonObject): Json => [json['challenge'] ?? '', (Array.isArray(json['parts']) ? json['parts'] : []).map((one: Json) => (isObject(one) && isObject(one['evidence']) ? [one['role'] ?? '', unordered(one['evidence'], ['crls', 'rims', 'ocsp'])] : []))]

const LIMITS = { bytes: 8 << 20, depth: 16, entries: 1_000_000, string: 4 << 20 }
const data = new Uint8Array(64).fill(5)
const made = snp(data)
const guest = dstackGuest(data)
const whole: readonly Json[] = [tinfoil3(), { ...kbsRequest({ devices: FABRIC }) }]
/** One of each form. What needs Intel's collateral has it handed in. */
const documents: readonly Json[] = [
  ...whole, cocoSnp(made), cocoAzure('snp'), cocoAzureFirst(), cocoTpm(new Uint8Array(32)), cocoCca(data), tinfoil2(made.report), tinfoil3({ tee: 'tdx', items: [], collateral: [pcsEntry()] }),
  { verification_requests: [{ tee: 'snp', evidence: toBase64(utf8(jcs(cocoSnp(made)))).replaceAll('+', '-').replaceAll('/', '_'), runtime_data: { raw: toBase64(data).replaceAll('+', '-').replaceAll('/', '_') } }], policy_ids: [] },
  { evidence: toBase64(made.report), endorsements: toBase64(utf8(writePem('CERTIFICATE', made.vcek))) }, FABRIC.map(one => ({ ...sdkDevice(data.slice(32), one) })),
]
const withIntel: readonly Json[] = [{ quote: guest.quote, event_log: guest.log, report_data: '05'.repeat(64), vm_config: '{}' }, { quote: toBase64(fromHex(guest.quote)), cc_eventlog: null }]
const texts = documents.map(one => jcs(one))
const intelTexts = withIntel.map(one => jcs(one))
const wholeTexts = whole.map(one => jcs(one))
const drawn = (list: readonly string[]) => (draw: Draw) => utf8(draw.oneIn(60) ? draw.pick(list) : changeJson(draw, draw.pick(list)))

const read = (port: Primitives, input: Uint8Array, collateral?: Json) => orRefuse(readForeign(port, parseJson(input, LIMITS), collateral === undefined ? {} : { collateral }))
const judge = (port: Primitives, input: Uint8Array, required: boolean, collateral?: Json) => orRefuse(verifyForeign(port, read(port, input, collateral), { ...OPTIONS, whole: required }, judgeWith(port)))

/** What such a document signs: the report, and all that is hashed into it. The struct of a report has more than one spelling. */
function signed(input: Uint8Array): string {
  const json = parseJsonObject(input, LIMITS)
  const { evidence } = read(p, input)
  return jcs([evidence.kind === 'snp' ? evidence.report : '', json['runtime-data'] ?? null, isObject(json['tee-evidence']) ? json['tee-evidence']['additional_evidence'] ?? null : null, json['crypto_material'] ?? null, json['device_evidence'] ?? null, json['challenge'] ?? null])
}

const member = fromBase64(gzipped(made.report))
export const targets: readonly Target[] = [
  ...evidenceTargets({
    name: 'bundle', valid: [bundleOf(), bundleOf(devicesOf(CHALLENGE, [{ role: 'vtpm' }])), bundleOf([])], same: bound,
    judge: (port, json) => verifyBundle(port, readBundle(json, part => orRefuse(parseEvidence(part))), OPTIONS, judgeWith(port)),
  }),
  { name: 'foreign', slow: true, draw: drawn(texts), judge: input => read(p, input) },
  { name: 'foreign-intel', slow: true, draw: drawn(intelTexts), judge: input => judge(believing, input, false, COLLATERAL) },
  { name: 'foreign-bound', slow: true, draw: drawn(wholeTexts), judge: input => judge(p, input, true), signed: { valid: wholeTexts.map(utf8), same: signed } },
  { name: 'foreign-believed', slow: true, draw: drawn(texts), judge: input => judge(believing, input, false) },
  { name: 'gzip', draw: draw => (draw.oneIn(40) ? member : changeBytes(draw, member)), judge: input => gunzip(input, 4096) },
]
