/** Targets among evidence of the other machines: vTPMs, Azure, AWS Nitro, Arm CCA; each under roots and keys of its own. */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { readXml, canonicalXml } from '@cloister/core/bytes/xml'
import type { JsonObject } from '@cloister/core/bytes/json'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { formatKey } from '@cloister/core/crypto/keys'
import type { CoseSign1 } from '@cloister/core/crypto/cose'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { readAzure, verifyAzure, type HardwareJudges } from '@cloister/core/evidence/azure/verify'
import { parseToken } from '@cloister/core/evidence/cca/token'
import { readCca, verifyCca } from '@cloister/core/evidence/cca/verify'
import { parseDocument } from '@cloister/core/evidence/nitro/document'
import { readNitro, verifyNitro } from '@cloister/core/evidence/nitro/verify'
import { readSignature, readPublicArea } from '@cloister/core/evidence/tpm/structures'
import { readTpm, verifyTpm } from '@cloister/core/evidence/tpm/verify'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { NOW as ROOTS_NOW } from '../../core/crypto/chain.fixture.ts'
import { snpEvidence, tdClaims, tdxEvidence } from '../../core/evidence/azure/azure.fixture.ts'
import { ccaEvidence, cpak, legacy } from '../../core/evidence/cca/cca.fixture.ts'
import { MADE, nitroCrl, nitroEvidence, roots as nitroRoots } from '../../core/evidence/nitro/nitro.fixture.ts'
import { judgeParts, snpInput } from '../../core/evidence/snp/snp.fixture.ts'
import { AK_CERTIFICATE_DER, CA_DER, evidenceOf, TEST_ROOTS } from '../../core/evidence/tpm/evidence.fixture.ts'
import { AK, AK_RSAPSS, areaOf } from '../../core/evidence/tpm/tpm.fixture.ts'
import type { Draw } from '../draw.ts'
import { evidenceTargets, unordered } from '../signed.ts'
import type { Target } from '../target.ts'
import { change, changeText } from '../texts.ts'

/** Of a COSE_Sign1 the unprotected header is not signed, by its name. */
const signedParts = (sign1: CoseSign1) => [sign1.protectedBytes, sign1.payload, sign1.signature].map(toHex).join()
const judges = (port: Primitives): HardwareJudges => ({
  snp: (report, evidence, { now }) => judgeParts(port, snpInput({}, { report, certificates: (evidence.certificates ?? []).map(one => fromBase64(one)), now })),
  tdx: quote => tdClaims(quote),
})
/** Of an HCL report the version in its header (1 or 2) and zeros behind it mean nothing. */
const signedHcl = (json: JsonObject) => toHex(bytesOf(json['hclReport'])).replace(/^(.{8}).{8}/, '$1').replace(/0+$/, '')
/** Of a TDREPORT CPUSVN, MAC and version 0 or 1 are for the machine alone, which made them: nothing rests on them here. */
function signedTd(json: JsonObject): string {
  const bytes = bytesOf(json['hclReport']).slice()
  if (bytes.length > HCL_HEADER + 256) bytes.fill(0, HCL_HEADER + 16, HCL_HEADER + 32).fill(0, HCL_HEADER + 224, HCL_HEADER + 256).fill(0, HCL_HEADER + 2, HCL_HEADER + 3)
  return signedHcl({ ...json, hclReport: toBase64(bytes) })
}
const HCL_HEADER = 32
const bytesOf = (value: unknown) => fromBase64(typeof value === 'string' ? value : '')

const tpm = [evidenceOf({ certificates: [AK_CERTIFICATE_DER(), CA_DER].map(toBase64) })]
const akName = readPublicArea(p, areaOf(AK)).name
const areas = [areaOf(AK), areaOf(AK_RSAPSS)]
const signatures = tpm.map(one => fromBase64(one.signature))
const changedOneOf = (valid: readonly Uint8Array[]) => (draw: Draw) => (draw.oneIn(40) ? draw.pick(valid) : change(draw, draw.pick(valid)))
const XML = '<a:root xmlns:a="urn:a" xmlns="urn:b" x="1" a:y="two &amp; three"><b>text &lt;</b><c/><a:d a:e="f"></a:d></a:root>'

export const targets: readonly Target[] = [
  { name: 'xml', draw: draw => utf8(draw.oneIn(40) ? XML : changeText(draw, XML)), judge: input => readXml(input), again: (_, value) => { const written = canonicalXml(value as ReturnType<typeof readXml>); return fromUtf8(canonicalXml(readXml(written))) === fromUtf8(written) ? undefined : 'another canonical form when written again' } }, // what judge gave
  { name: 'tpm-area', draw: changedOneOf(areas), judge: input => readPublicArea(p, input) },
  { name: 'tpm-signature', draw: changedOneOf(signatures), judge: input => readSignature(input) },
  // The log is proven by the registers and may be left out; the target `eventlog` is about it. A certificate covers the key of
  // the public area and not its attributes: what the area says beyond the key is proven only where its Name is enrolled.
  ...evidenceTargets({ name: 'tpm', valid: tpm, judge: (port, json) => verifyTpm(port, readTpm(json), { now: ROOTS_NOW }, TEST_ROOTS), same: json => ({ ...unordered(json, ['eventLog']), ak: formatKey(readPublicArea(p, bytesOf(json['ak'])).key) }) }),
  ...evidenceTargets({ name: 'tpm-named', valid: [evidenceOf()], judge: (port, json) => verifyTpm(port, readTpm(json), { now: ROOTS_NOW, aks: [akName] }, TEST_ROOTS), same: json => ({ ...unordered(json, ['eventLog']), ak: readPublicArea(p, bytesOf(json['ak'])).name }) }),
  ...evidenceTargets({ name: 'azure-snp', valid: [snpEvidence()], judge: (port, json) => verifyAzure(port, readAzure(json), { now: ROOTS_NOW }, judges(port)), same: json => ({ ...unordered(json, ['eventLog']), hclReport: signedHcl(json) }) }),
  // The quote is the fixture's, which nobody signs: the room of TDX is about quotes.
  ...evidenceTargets({ name: 'azure-tdx', valid: [tdxEvidence()], judge: (port, json) => verifyAzure(port, readAzure(json), { now: ROOTS_NOW }, judges(port)), same: json => ({ ...unordered(json, ['eventLog', 'tdQuote']), hclReport: signedTd(json) }) }),
  ...evidenceTargets({ name: 'nitro', valid: [nitroEvidence({}, [nitroCrl('root')])], judge: (port, json) => verifyNitro(port, readNitro(json), { now: MADE }, nitroRoots), same: json => signedParts(parseDocument(bytesOf(json['document'])).sign1) }),
  ...evidenceTargets({ name: 'cca', valid: [ccaEvidence(), ccaEvidence({ version: 2 }), ccaEvidence(legacy)], judge: (port, json) => verifyCca(port, readCca(json), { now: ROOTS_NOW, cpaks: [cpak()] }), same: json => { const token = parseToken(bytesOf(json['token'])); return [token.platform.sign1, token.realm.sign1].map(signedParts) } }),
]
