/**
 * The collateral of a piece of evidence: the newest documents that are in force at a time, from those filed and those
 * that the evidence brings. Nothing is fetched, and nothing is judged: what comes out is evidence like any other, which
 * `core/evidence` verifies from its first byte.
 *
 * Trusts nobody: where the machine's own words are needed to look something up (its chip, its family), a lie finds
 * documents that do not fit, and the verifier says so.
 */
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { allZero, equal } from '@cloister/core/bytes/bytes'
import { readDer } from '@cloister/core/bytes/der'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { isObject, type JsonObject } from '@cloister/core/bytes/json'
import { fromUtf8 } from '@cloister/core/bytes/text'
import { parseOcsp } from '@cloister/core/crypto/ocsp'
import { readPem } from '@cloister/core/crypto/pem'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseCertificate, parseCrl, verifySigned, type Certificate } from '@cloister/core/crypto/x509'
import { readHclReport } from '@cloister/core/evidence/azure/hcl'
import type { Evidence } from '@cloister/core/evidence/claims'
import { readPck } from '@cloister/core/evidence/dcap/pck'
import { parseQuote } from '@cloister/core/evidence/dcap/quote'
import { deviceIdentity } from '@cloister/core/evidence/nvidia/device'
import { verifyRim } from '@cloister/core/evidence/nvidia/rim'
import { opaqueField, opaqueText, parseNvidiaReport, vbiosVersion, type NvidiaReport } from '@cloister/core/evidence/nvidia/spdm'
import { parseReport, productOf, tcbOf, type SnpProduct, type SnpReport } from '@cloister/core/evidence/snp/report'
import { VEK_OID } from '@cloister/core/evidence/snp/verify'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { chipText } from './amd.ts'
import { chainSometime } from './chains.ts'
import { matching, titleOf, type Entry } from './documents.ts'
import { authorityOf, partsOf } from './intel.ts'
import { certificateIds, questionFor } from './nvidia.ts'
import { vendorRoots, type VendorRoots } from './roots.ts'
import type { CollateralStore } from './store.ts'
import { commandFor, found, type Wanted } from './wanted.ts'

/** `needed`: without it the evidence establishes nothing; otherwise it is judged without, and the verdict says so. */
export interface Missing { readonly what: string; readonly needed: boolean; readonly fix: string }
export interface Completed {
  /** The evidence with its collateral filled in, in the JSON in which evidence travels. */
  readonly evidence: JsonObject
  /** The documents of the store that were used. */
  readonly used: readonly Entry[]
  readonly missing: readonly Missing[]
}

/**
 * Evidence with the newest collateral in force at a time (seconds since 1970). It may lack collateral that its kind must
 * have. Documents that it brings are kept where nothing newer is filed. Kinds that carry all they need come back as they
 * are. Refuses what its kind's reader refuses, and `store.corrupt`.
 *
 * @example
 * collateralFor(p, store, { kind: 'snp', report, certificates: [] }, now) // → { ok: true, value: { evidence: { …, certificates: [vcek], crls: [list] }, used, missing } }
 */
export function collateralFor(p: Primitives, store: CollateralStore, evidence: Evidence | JsonObject, at: number, roots: VendorRoots = vendorRoots()): Result<Completed> {
  return attempt(() => {
    const shelf = shelfOf(p, store, at, roots)
    // Evidence is JSON; its types only name the fields.
    const json = evidence as JsonObject
    return { evidence: complete(shelf, json), used: [...new Map(shelf.used.map(one => [one.digest, one])).values()], missing: shelf.missing }
  })
}

/** The same evidence with the collateral of another time and with today's beside it, for a verdict `--as-of`. Times are seconds since 1970. */
export function collateralThenAndNow(p: Primitives, store: CollateralStore, evidence: Evidence | JsonObject, times: { readonly asOf: number; readonly now: number }, roots: VendorRoots = vendorRoots()): Result<{ readonly then: Completed; readonly today: Completed }> {
  return attempt(() => ({ then: orRefuse(collateralFor(p, store, evidence, times.asOf, roots)), today: orRefuse(collateralFor(p, store, evidence, times.now, roots)) }))
}

/** What is on hand while one piece of evidence is completed. */
interface Shelf {
  readonly p: Primitives
  readonly roots: VendorRoots
  readonly at: number
  readonly store: CollateralStore
  readonly entries: readonly Entry[]
  readonly used: Entry[]
  readonly missing: Missing[]
}

function shelfOf(p: Primitives, store: CollateralStore, at: number, roots: VendorRoots): Shelf {
  return { p, roots, at, store, entries: store.list().entries, used: [], missing: [] }
}

function complete(shelf: Shelf, json: JsonObject): JsonObject {
  switch (json['kind']) {
    case 'snp': return { ...json, ...amdParts(shelf, json, fromBase64(text(json, 'report'), 'report')) }
    case 'tdx': case 'sgx': return { ...json, collateral: intelParts(shelf, json, fromBase64(text(json, 'quote'), 'quote')) }
    case 'azure': return azureParts(shelf, json)
    case 'nvidia': return { ...json, ...nvidiaParts(shelf, json) }
    case 'bundle': return { ...json, parts: partsIn(json).map(part => ({ ...part, ...(isObject(part['evidence']) && part['evidence']['kind'] !== 'bundle' ? { evidence: complete(shelf, part['evidence']) } : {}) })) }
    default: return json
  }
}

/** The parts of a bundle; what the CPU vouches for does not include their collateral. */
const partsIn = (json: JsonObject): JsonObject[] => (Array.isArray(json['parts']) && json['parts'].length <= PARTS_MAX ? json['parts'].map((one, i) => (isObject(one) ? one : refuse('evidence.parse', `evidence.parts[${i}]`, 'an object', 'another value'))) : refuse('evidence.parse', 'evidence.parts', `a list of at most ${PARTS_MAX}`, 'another value'))
const PARTS_MAX = 32

function azureParts(shelf: Shelf, json: JsonObject): JsonObject {
  const hcl = readHclReport(shelf.p, fromBase64(text(json, 'hclReport'), 'hclReport'))
  if (hcl.type === 'snp') return { ...json, ...amdParts(shelf, json, hcl.hardware) }
  return json['tdQuote'] === undefined ? json : { ...json, collateral: intelParts(shelf, json, fromBase64(text(json, 'tdQuote'), 'tdQuote')) }
}

/** Bytes of a document of the store. */
function bytesOf({ store, used }: Shelf, entry: Entry): Uint8Array {
  used.push(entry)
  return store.read(entry.digest)?.bytes ?? refuse('store.corrupt', entry.digest, 'a document', 'none')
}

function lacking(shelf: Shelf, wanted: Wanted, what: string, needed: boolean): void {
  const [over] = found(shelf.entries, wanted)
  if (shelf.missing.some(one => one.what.startsWith(what))) return
  shelf.missing.push({ what: over === undefined ? what : `${what} (the newest here, ${titleOf(over)}, is in force from ${day(over.notBefore)} to ${day(over.notAfter)})`, needed, fix: commandFor(wanted) })
}

const day = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10)

function text(json: JsonObject, key: string): string {
  const value = json[key]
  return typeof value === 'string' ? value : refuse('evidence.parse', `evidence.${key}`, 'a text', 'another value')
}

/** A list of base64 that the evidence brings; what is no such list is the verifier's to refuse. */
function own(json: JsonObject, key: string): string[] {
  const value = json[key]
  return Array.isArray(value) ? value.filter(one => typeof one === 'string') : []
}

function decoded<T>(base64: string, read: (bytes: Uint8Array) => Result<T>): T | undefined {
  const result = attempt(() => orRefuse(read(fromBase64(base64))))
  return result.ok ? result.value : undefined
}

// ---- AMD ------------------------------------------------------------------------------------------------------------

const PRODUCTS: readonly SnpProduct[] = ['Milan', 'Genoa', 'Turin']

function amdParts(shelf: Shelf, json: JsonObject, bytes: Uint8Array): JsonObject {
  const report = parseReport(bytes)
  const brought = own(json, 'certificates')
  const certificates = brought.length > 0 ? brought : amdChain(shelf, report)
  const [leaf] = certificates
  const certificate = leaf === undefined ? undefined : decoded(leaf, parseCertificate)
  const product = productOf(report) ?? (certificate === undefined ? undefined : namedProduct(certificate))
  const lists = product === undefined ? own(json, 'crls') : amdLists(shelf, own(json, 'crls'), product, report)
  return { certificates, ...(lists.length === 0 ? {} : { crls: lists }) }
}

/** The key that signed the report, and its issuer where that is not pinned. */
function amdChain(shelf: Shelf, report: SnpReport): string[] {
  const named = productOf(report)
  const { signer } = report
  const chip = toHex(report.chipId)
  const asked = (named === undefined ? PRODUCTS : [named]).map(product => ({ what: 'amd-vek', product, signer, ...(signer === 'vlek' || allZero(report.chipId) ? {} : { id: chipText(product, chip) }), tcb: tcbOf(product, report.tcb.reported) } as const))
  for (const entry of asked.flatMap(wanted => found(shelf.entries, wanted, shelf.at)).slice(0, CANDIDATES_MAX)) {
    const leaf = orRefuse(parseCertificate(bytesOf(shelf, entry)))
    if (leaf.publicKey.kind === 'p384' && shelf.p.verify('ecdsa-p384-sha384', leaf.publicKey, report.signed, report.signature)) return [leaf, ...amdIssuer(shelf, leaf)].map(one => toBase64(one.der))
    shelf.used.pop()
  }
  const [first] = asked
  if (first !== undefined) lacking(shelf, first, `the ${signer.toUpperCase()} that signed the report`, true)
  return []
}

const CANDIDATES_MAX = 64

const issued = (p: Primitives, issuer: Certificate, one: Certificate) => equal(issuer.subject, one.issuer) && verifySigned(p, issuer.publicKey, one.algorithm, one.tbs, one.signature)

function amdIssuer(shelf: Shelf, leaf: Certificate): Certificate[] {
  if (shelf.roots.amd.some(set => set.intermediates.some(one => issued(shelf.p, one, leaf)))) return []
  const other = matching(shelf.entries, 'amd-ca', {}, shelf.at).map(entry => orRefuse(parseCertificate(bytesOf(shelf, entry)))).find(one => issued(shelf.p, one, leaf))
  return other === undefined ? [] : [other]
}

/** As the certificate says: before version 3 a report does not. */
function namedProduct(certificate: Certificate): SnpProduct | undefined {
  const extension = certificate.extensions.get(VEK_OID.product)
  const said = extension === undefined ? undefined : attempt(() => fromUtf8(readDer(extension.value, 'product').content).split('-')[0])
  return said?.ok === true ? PRODUCTS.find(one => one === said.value) : undefined
}

function amdLists(shelf: Shelf, brought: readonly string[], product: SnpProduct, { signer }: SnpReport): string[] {
  const issuer = shelf.roots.amd.find(set => set.product === product)?.ark.subject ?? new Uint8Array(0)
  const mine = brought.map(one => ({ one, list: decoded(one, parseCrl) }))
  const [entry] = found(shelf.entries, { what: 'amd-crl', product, signer }, shelf.at)
  const best = mine.filter(({ list }) => list !== undefined && equal(list.issuer, issuer) && within(shelf.at, list.thisUpdate, list.nextUpdate)).sort((a, b) => (b.list?.thisUpdate ?? 0) - (a.list?.thisUpdate ?? 0))[0]
  const others = mine.filter(({ list }) => list === undefined || !equal(list.issuer, issuer)).map(({ one }) => one)
  if (entry !== undefined && (best?.list === undefined || entry.notBefore > best.list.thisUpdate)) return [...others, toBase64(bytesOf(shelf, entry))]
  if (best !== undefined) return [...others, best.one]
  lacking(shelf, { what: 'amd-crl', product, signer }, `the revocation list of ARK-${product} for that time`, false)
  return [...brought]
}

const within = (at: number, notBefore: number, notAfter: number) => at >= notBefore && at <= notAfter

// ---- Intel ----------------------------------------------------------------------------------------------------------

function intelParts(shelf: Shelf, json: JsonObject, bytes: Uint8Array): JsonObject {
  const quote = parseQuote(bytes)
  const brought = isObject(json['collateral']) ? json['collateral'] : {}
  const { fmspc, ca } = platformOf(shelf, quote.certificates.length > 0 ? quote.certificates : readPem(typeof brought['pck_certificate_chain'] === 'string' ? brought['pck_certificate_chain'] : '', 'CERTIFICATE'))
  const { tee } = quote
  return {
    ...brought,
    ...intelSignedParts(shelf, brought, 'tcb_info', { what: 'intel-tcb-info', tee, fmspc }, `the TCB info of platforms ${fmspc}`),
    ...intelSignedParts(shelf, brought, 'qe_identity', { what: 'intel-qe-identity', tee }, `the identity of the ${tee.toUpperCase()} quoting enclave`),
    ...intelListPart(shelf, brought, 'pck_crl', { what: 'intel-pck-crl', ca }, `the revocation list of the PCK ${ca} CA`),
    ...intelListPart(shelf, brought, 'root_ca_crl', { what: 'intel-root-crl' }, 'the revocation list of the root CA'),
  }
}

/** Whose platform it is, by its own certificate: only the look-up rests on it. */
function platformOf({ roots }: Shelf, ders: readonly Uint8Array[]): { fmspc: string; ca: 'platform' | 'processor' } {
  const [leaf, ...others] = ders.map((der, i) => orRefuse(parseCertificate(der, `pck[${i}]`)))
  if (leaf === undefined) return refuse('evidence.missing', 'quote.certificates', 'the PCK certificate of the platform', 'none', 'add pck_certificate_chain to the collateral')
  const issuer = [...others, ...roots.intelAuthorities].find(one => equal(one.subject, leaf.issuer))
  const ca = issuer === undefined ? undefined : authorityOf(issuer.subjectCommonName)
  return { fmspc: readPck(leaf).fmspc, ca: ca ?? refuse('evidence.chain', 'quote.certificates', 'a certificate of the PCK platform or processor CA', issuer?.subjectCommonName ?? 'another issuer') }
}

/** A document with its signature and its signer's chain: the store's when it is newer, else what the evidence brings. */
function intelSignedParts(shelf: Shelf, brought: JsonObject, name: 'tcb_info' | 'qe_identity', wanted: Extract<Wanted, { what: 'intel-tcb-info' | 'intel-qe-identity' }>, what: string): JsonObject {
  const mine = signedWindow(brought[name])
  const mineHolds = mine !== undefined && within(shelf.at, mine.notBefore, mine.notAfter)
  // Only early ones here: better than none.
  const [entry] = [...found(shelf.entries, wanted, shelf.at), ...found(shelf.entries, { ...wanted, update: 'early' }, shelf.at)]
  const number = Number(entry?.about['evaluation'] ?? 0)
  if (entry !== undefined && (!mineHolds || number > mine.evaluation || (number === mine.evaluation && entry.notBefore > mine.notBefore))) {
    const { text: document, signature } = partsOf(bytesOf(shelf, entry))
    return { [name]: document, [`${name}_signature`]: signature, [`${name}_issuer_chain`]: entry.issuerChain ?? '' }
  }
  if (!mineHolds) lacking(shelf, wanted, `${what} for that time`, true)
  return {}
}

function signedWindow(document: JsonObject[string] | undefined): { notBefore: number; notAfter: number; evaluation: number } | undefined {
  if (typeof document !== 'string') return undefined
  const field = (name: string) => new RegExp(`"${name}"\\s*:\\s*"?([^",}]{1,40})`).exec(document)?.[1] ?? ''
  return { notBefore: Date.parse(field('issueDate')) / 1000, notAfter: Date.parse(field('nextUpdate')) / 1000, evaluation: Number(field('tcbEvaluationDataNumber')) }
}

function intelListPart(shelf: Shelf, brought: JsonObject, name: 'pck_crl' | 'root_ca_crl', wanted: Wanted, what: string): JsonObject {
  const given = brought[name]
  const parsed = typeof given === 'string' ? attempt(() => orRefuse(parseCrl(fromHex(given)))) : undefined
  const mine = parsed?.ok === true && within(shelf.at, parsed.value.thisUpdate, parsed.value.nextUpdate) ? parsed.value : undefined
  const [entry] = found(shelf.entries, wanted, shelf.at)
  if (entry !== undefined && (mine === undefined || entry.notBefore > mine.thisUpdate)) return { [name]: toHex(bytesOf(shelf, entry)) }
  if (mine === undefined) lacking(shelf, wanted, `${what} for that time`, true)
  return {}
}

// ---- NVIDIA ---------------------------------------------------------------------------------------------------------

function nvidiaParts(shelf: Shelf, json: JsonObject): JsonObject {
  const report = parseNvidiaReport(fromBase64(text(json, 'report'), 'report'))
  const certificates = own(json, 'certificates').map((one, i) => orRefuse(parseCertificate(fromBase64(one, `certificates[${i}]`), `certificates[${i}]`)))
  const [leaf, ...others] = certificates
  if (leaf === undefined) return json
  const device = attempt(() => chainSometime({ p: shelf.p, roots: shelf.roots, now: shelf.at, certificates: others }, leaf, [shelf.roots.nvidia.device]).path)
  const rims = manifests(shelf, own(json, 'rims').map(one => fromBase64(one, 'rims')), leaf, others[0] ?? leaf, report)
  const paths = [...(device.ok ? [device.value.slice(1)] : []), ...rims.map(one => rimPath(shelf, one))]
  const pairs = paths.flatMap(path => path.slice(0, -1).map((certificate, i) => ({ certificate, issuer: path[i + 1] ?? certificate })))
  const ocsp = answers(shelf, own(json, 'ocsp'), pairs)
  const crls = nvidiaLists(shelf, own(json, 'crls'), pairs.map(one => one.issuer))
  return { ...(rims.length === 0 ? {} : { rims: rims.map(toBase64) }), ...(ocsp.length === 0 ? {} : { ocsp }), ...(crls.length === 0 ? {} : { crls }) }
}

/** Which manifests a device needs: its driver's and its VBIOS's, or the one of a switch. */
function manifests(shelf: Shelf, brought: readonly Uint8Array[], leaf: Certificate, maker: Certificate, report: NvidiaReport): Uint8Array[] {
  const { device, product } = deviceIdentity(leaf, maker)
  const field = (name: 'project' | 'projectSku' | 'chipSku') => opaqueText(report, name)
  const vbios = device === 'gpu' ? vbiosVersion(opaqueField(report, 'vbiosVersion', 8)) : opaqueText(report, 'vbiosVersion')
  const board = `${field('project')}_${field('projectSku')}_${field('chipSku')}_${vbios.replaceAll('.', '')}`
  const slots = device === 'gpu'
    ? [{ edition: 'GPU', version: opaqueText(report, 'driverVersion'), id: `NV_GPU_DRIVER_${product}_${opaqueText(report, 'driverVersion')}` }, { edition: 'GPU', version: vbios, id: `NV_GPU_VBIOS_${board}` }]
    : [{ edition: 'SWITCH', version: vbios, id: `NV_SWITCH_BIOS_${board}` }]
  const mine = brought.map(bytes => ({ bytes, rim: attempt(() => verifyRim(shelf.p, bytes, { now: shelf.at, root: shelf.roots.nvidia.rim })) }))
  const chosen = slots.flatMap(({ edition, version, id }) => {
    const candidates = matching(shelf.entries, 'nvidia-rim', { edition, product, version: version.toUpperCase() }, shelf.at)
    const [entry] = [...candidates.filter(one => one.about['id'] === id), ...candidates]
    const held = mine.find(({ rim }) => rim.ok && rim.value.version.toUpperCase() === version.toUpperCase())
    if (entry !== undefined && (held?.rim.ok !== true || entry.notBefore > held.rim.value.notBefore)) return [bytesOf(shelf, entry)]
    if (held === undefined) lacking(shelf, { what: 'nvidia-rim', id }, `the manifest of ${edition} ${product} ${version} for that time`, false)
    return held === undefined ? [] : [held.bytes]
  })
  // What does not hold, or is for other firmware, stays where nothing takes its place: the verifier says why.
  const strays = mine.filter(({ rim }) => !slots.some(({ version }) => rim.ok && rim.value.version.toUpperCase() === version.toUpperCase()))
  return [...chosen, ...strays.slice(0, Math.max(0, brought.length - chosen.length)).map(one => one.bytes)]
}

function rimPath({ p, roots, at }: Shelf, bytes: Uint8Array): readonly Certificate[] {
  const rim = attempt(() => verifyRim(p, bytes, { now: at, root: roots.nvidia.rim }))
  return rim.ok ? rim.value.chain.path : []
}

/** For each certificate the newest answer in force about it, once; answers about other things stay. */
function answers(shelf: Shelf, brought: readonly string[], pairs: readonly { certificate: Certificate; issuer: Certificate }[]): string[] {
  const mine = brought.map(one => ({ one, response: decoded(one, parseOcsp) }))
  const about = new Set<string>()
  const chosen = pairs.flatMap(({ certificate, issuer }) => {
    const ids = certificateIds(shelf.p, certificate, issuer)
    const named = mine.filter(({ response }) => response?.answers.some(answer => answer.serial === certificate.serial) === true)
    for (const { one } of named) about.add(one)
    const best = named.filter(({ response }) => response?.answers.every(one => within(shelf.at, one.thisUpdate, one.nextUpdate)) === true).sort((a, b) => (b.response?.producedAt ?? 0) - (a.response?.producedAt ?? 0))[0]
    const [entry] = ids.flatMap(id => found(shelf.entries, { what: 'nvidia-ocsp', certificates: [id], question: new Uint8Array(0) }, shelf.at)).sort((a, b) => b.notBefore - a.notBefore)
    const since = best?.response?.answers[0]?.thisUpdate ?? 0
    if (entry !== undefined && (best === undefined || entry.notBefore > since)) return [toBase64(bytesOf(shelf, entry))]
    if (best !== undefined) return [best.one]
    const wanted = ids.map(id => ({ what: 'nvidia-ocsp', certificates: [id], question: questionFor(ids.slice(0, 1)) } as const))
    const [first] = [...wanted.filter(one => found(shelf.entries, one).length > 0), ...wanted]
    if (first !== undefined) lacking(shelf, first, `an OCSP answer about ${certificate.subjectCommonName} for that time`, false)
    return named.slice(0, 1).map(({ one }) => one)
  })
  return [...new Set([...chosen, ...brought.filter(one => !about.has(one))])]
}

function nvidiaLists(shelf: Shelf, brought: readonly string[], issuers: readonly Certificate[]): string[] {
  const mine = brought.map(one => ({ one, list: decoded(one, parseCrl) }))
  const filed = [...new Set(issuers.map(one => toHex(shelf.p.hash('sha256', one.subject))))].flatMap(issuer => matching(shelf.entries, 'nvidia-crl', { issuer }, shelf.at).slice(0, 1))
  const newer = filed.filter(entry => !mine.some(({ list }) => list !== undefined && toHex(shelf.p.hash('sha256', list.issuer)) === entry.about['issuer'] && within(shelf.at, list.thisUpdate, list.nextUpdate) && list.thisUpdate >= entry.notBefore))
  const replaced = new Set(newer.map(one => one.about['issuer']))
  return [...mine.filter(({ list }) => list === undefined || !replaced.has(toHex(shelf.p.hash('sha256', list.issuer)))).map(({ one }) => one), ...newer.map(entry => toBase64(bytesOf(shelf, entry)))]
}
