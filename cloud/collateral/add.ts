/**
 * The one road into a store of collateral, whether a person brings a file or a vendor's service is asked: a document is
 * filed only when it chains to a pinned root of AMD, Intel or NVIDIA. A file is filed whole or not at all.
 *
 * Trusts: the port and the roots; in production the pinned ones, in tests others by the parameter of this function only.
 */
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseCertificate, type Certificate } from '@cloister/core/crypto/x509'
import { attempt, orRefuse, refuse, type Result } from '@cloister/core/refusal'
import { amdCertificate, amdList, isAmd } from './amd.ts'
import type { Context } from './chains.ts'
import { LIMITS, matching, titleOf, type Document, type Entry } from './documents.ts'
import { intelCertificate, intelList, intelSigned, isIntel } from './intel.ts'
import { nvidiaAnswer, nvidiaCertificate, nvidiaList, nvidiaManifest } from './nvidia.ts'
import { readFile, type Piece } from './read.ts'
import { vendorRoots, type VendorRoots } from './roots.ts'
import type { CollateralStore } from './store.ts'

/** `update`: that Intel gave the document out as an early update, which it does not say itself. */
export interface NewFile { readonly name: string; readonly bytes: Uint8Array; readonly update?: 'early' }
export interface Filed {
  readonly title: string
  readonly entry: Entry
  readonly known: boolean
  /** Not in force now, or there is a newer one: it is kept, and the newer is what is handed out. */
  readonly expired: boolean
  readonly superseded: boolean
}
/** `left`: certificates that need no filing, because they are pinned or travel with evidence. */
export interface FileReport { readonly name: string; readonly outcome: Result<{ readonly filed: readonly Filed[]; readonly left: readonly string[] }> }

/**
 * Files documents. Each file has an outcome of its own: what was filed, or the refusal. Files may complete each other: a
 * body of Intel's service and the headers it came with, answers and the certificates of their issuers. `now`: seconds since 1970.
 */
export function addCollateral(p: Primitives, store: CollateralStore, files: readonly NewFile[], now: number, roots: VendorRoots = vendorRoots()): FileReport[] {
  if (files.length > LIMITS.files) return [{ name: 'files', outcome: attempt(() => refuse('bytes.too-large', 'files', `at most ${LIMITS.files} at once`, String(files.length))) }]
  const read = files.map(file => ({ file, pieces: attempt(() => readFile(file.name, file.bytes)) }))
  const beside = read.flatMap(({ pieces }) => (pieces.ok ? pieces.value.flatMap(certificateIn) : []))
  const outcomes = new Map<NewFile, FileReport['outcome']>()
  // Manifests and certificates first: they bring the authorities by which answers and lists are verified.
  for (const { file, pieces } of [...read].sort((a, b) => rank(a.pieces) - rank(b.pieces))) {
    outcomes.set(file, attempt(() => fileAll(p, store, orRefuse(pieces), { p, roots, now, certificates: [...beside, ...authorities(store)] }, file.update)))
  }
  return files.map(file => ({ name: file.name, outcome: outcomes.get(file) ?? attempt(() => refuse('evidence.parse', file.name, 'a file', 'none')) }))
}

const certificateIn = (piece: Piece): Certificate[] => (piece.what === 'certificate' ? [piece.certificate] : piece.what === 'signed' ? [...piece.signed.chain] : [])
const rank = (pieces: Result<Piece[]>) => (pieces.ok && pieces.value.some(one => one.what === 'manifest' || one.what === 'certificate') ? 0 : 1)

/** Authorities filed before; a damaged one is left out here and named when the store is listed. */
function authorities(store: CollateralStore): Certificate[] {
  return store.list().entries.filter(one => one.kind.endsWith('-ca')).flatMap(({ digest }) => {
    const found = attempt(() => store.read(digest))
    const certificate = found.ok && found.value !== undefined ? parseCertificate(found.value.bytes) : undefined
    return certificate?.ok === true ? [certificate.value] : []
  })
}

function fileAll(p: Primitives, store: CollateralStore, pieces: readonly Piece[], context: Context, update: 'early' | undefined): { filed: Filed[]; left: string[] } {
  // What a manifest brings is needed by the answers in the same file.
  const first = pieces.filter(one => one.what === 'manifest').flatMap(one => documentsOf(context, one, update))
  const whole: Context = { ...context, certificates: [...context.certificates, ...first.filter(one => one.kind === 'nvidia-ca').map(one => orRefuse(parseCertificate(one.bytes)))] }
  const rest = pieces.filter(one => one.what !== 'manifest').map(piece => ({ piece, documents: documentsOf(whole, piece, update) }))
  const left = rest.flatMap(({ piece, documents }) => (piece.what === 'certificate' && documents.length === 0 ? [piece.certificate.subjectCommonName] : []))
  const documents = [...first, ...rest.flatMap(one => one.documents)]
  return { filed: documents.map(document => filed(store, document, context.now)), left }
}

function filed(store: CollateralStore, document: Document, now: number): Filed {
  const { entry, known } = store.put(document, now)
  const newest = matching(store.list().entries, entry.kind, sameSubject(entry), now)[0]
  return { title: titleOf(entry), entry, known, expired: now > entry.notAfter, superseded: newest !== undefined && newest.digest !== entry.digest && newest.notBefore > entry.notBefore }
}

/** What two versions of one document have in common. */
function sameSubject({ about }: Entry): Record<string, string> {
  return Object.fromEntries(Object.entries(about).filter(([name]) => !['evaluation', 'update', 'status'].includes(name)))
}

function documentsOf(context: Context, piece: Piece, update: 'early' | undefined): Document[] {
  switch (piece.what) {
    case 'certificate': return [certificateDocument(context, piece.certificate)].filter(one => one !== undefined)
    case 'list': return [amdList(context, piece.list) ?? intelList(context, piece.list) ?? nvidiaList(context, piece.list) ?? refuse('crl.issuer', 'crl', 'a list of an authority of AMD, Intel or NVIDIA', 'another issuer', 'add the certificate of its issuer together with it')]
    case 'answer': return [nvidiaAnswer(context, piece.response)]
    case 'signed': return [intelSigned(context, piece.signed, update)]
    case 'manifest': return nvidiaManifest(context, piece.bytes, piece.id)
  }
}

/** The vendor by the certificate's form; which root it chains to is judged for that vendor alone. */
function certificateDocument(context: Context, certificate: Certificate): Document | undefined {
  if (isAmd(context, certificate)) return amdCertificate(context, certificate)
  return isIntel(context, certificate) ? intelCertificate(context, certificate) : nvidiaCertificate(context, certificate)
}
