/**
 * Judges a TPM 2.0 quote: whose the attestation key is, that it is a key the TPM made for quotes only, the signature, the
 * registers of the signed selection, and the event log that must replay into them (TCG TPM 2.0 Library Parts 1 and 2).
 *
 * Trusts: the port; the pinned roots of virtual TPMs; and the keys that the relying party itself names in its options. A
 * key is never believed because it came with the quote.
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { equal } from '../../bytes/bytes.ts'
import { children, oidOf, readDer } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import type { JsonObject } from '../../bytes/json.ts'
import { keyToSpki, spkiToKey } from '../../crypto/keys.ts'
import type { Primitives, PublicKey } from '../../crypto/primitives.ts'
import { parseCertificate, parseCrl, validateChain, type Certificate, type Chain } from '../../crypto/x509.ts'
import { attempt, orRefuse, refuse, type Result } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import { parseEventLog } from '../eventlog/log.ts'
import { proveEvents, registerName, type BootFacts, type ProvenLog } from '../eventlog/replay.ts'
import { remember, type VerifyOptions } from '../options.ts'
import { objectOf, onlyFields, textOf, textsOf } from '../shape.ts'
import { gcpInstance, type GcpInstance } from './gcp.ts'
import { readPcrs, verifyQuote, type ProvenQuote } from './quote.ts'
import { tpmRoots, type TpmRoot } from './roots.ts'
import { readPublicArea, readSignature, type PublicArea, type TpmSignature } from './structures.ts'

/** A quote as it travels; binary parts in standard base64. */
export interface TpmEvidence {
  readonly kind: 'tpm'
  /** TPMS_ATTEST. */
  readonly message: string
  /** TPMT_SIGNATURE. */
  readonly signature: string
  /** TPMT_PUBLIC or TPM2B_PUBLIC of the attestation key; its SubjectPublicKeyInfo only where the options name that. */
  readonly ak: string
  /** DER, the AK's certificate first. */
  readonly certificates?: readonly string[]
  readonly crls?: readonly string[]
  /** Hex by bank and index, exactly the quoted ones: `{ sha256: { "0": … } }`. */
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** The firmware's crypto-agile event log. */
  readonly eventLog?: string
}

export interface TpmOptions extends VerifyOptions {
  /**
   * Attestation keys that the relying party enrolled: the Name in hex (`000b…`, which also fixes the key's attributes), or
   * `spki:` and the SHA-256 of the SubjectPublicKeyInfo for a key whose public area is not at hand.
   */
  readonly aks?: readonly string[]
}

export interface TpmFacts {
  readonly kind: 'tpm'
  /** Why the key is believed: a chain to a pinned root (its authority says that it is an attestation key), its enrolled Name, or its enrolled bare key. */
  readonly akTrust: 'chain' | 'name' | 'key'
  /** The Name where that was enrolled, else `spki:` and the SHA-256 of the key. */
  readonly akName: string
  /** Proven by an enrolled Name only; otherwise empty. */
  readonly akAttributes: readonly string[]
  readonly firmwareVersion: string
  readonly clock: { readonly milliseconds: string; readonly resetCount: number; readonly restartCount: number; readonly safe: boolean }
  /** The bank whose registers are the claims' registers. */
  readonly bank: string
  /** Every quoted register, hex, by bank; SHA-1 is for comparison only. */
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** The instance that Google's certificate names. */
  readonly instance?: GcpInstance
  readonly boot?: BootFacts
  /** Log entries in registers that were not quoted: unproven. */
  readonly unprovenEvents?: number
  /** Quoted registers that were extended, but by nothing in the log. */
  readonly uncovered?: readonly string[]
}

export type TpmClaims = ClaimsOf<TpmFacts>

const LIMITS = { certificates: 8, crls: 8 }

/** Evidence as it came from outside, for its shape. Leaves with `evidence.parse` or `evidence.missing`. */
export function readTpm(json: JsonObject): TpmEvidence {
  onlyFields(json, ['kind', 'message', 'signature', 'ak', 'certificates', 'crls', 'pcrs', 'eventLog'])
  const pcrs = objectOf(json, 'pcrs')
  readPcrs(pcrs)
  return {
    kind: 'tpm', message: textOf(json, 'message'), signature: textOf(json, 'signature'), ak: textOf(json, 'ak'),
    // readPcrs has just found the shape that the type says.
    pcrs: pcrs as TpmEvidence['pcrs'],
    ...(json['certificates'] === undefined ? {} : { certificates: textsOf(json, 'certificates', LIMITS.certificates) }),
    ...(json['crls'] === undefined ? {} : { crls: textsOf(json, 'crls', LIMITS.crls) }),
    ...(json['eventLog'] === undefined ? {} : { eventLog: textOf(json, 'eventLog') }),
  }
}

/**
 * The claims of a quote in which everything holds. Leaves with `evidence.chain`, `evidence.signer` (the key is not an
 * attestation key, or nobody vouches for it), `evidence.signature`, `evidence.binding`, `evidence.event-log`, …
 */
export function verifyTpm(p: Primitives, evidence: TpmEvidence, options: TpmOptions, roots: readonly TpmRoot[] = tpmRoots()): TpmClaims {
  const ak = believedKey(p, evidence, options, roots)
  const signature = readSignature(fromBase64(evidence.signature, 'signature'))
  if (ak.area !== undefined) checkScheme(ak.area, signature)
  const quote = verifyQuote(p, ak.key, fromBase64(evidence.message, 'message'), signature, readPcrs(evidence.pcrs))
  const log = evidence.eventLog === undefined ? undefined : proveEvents(p, parseEventLog(fromBase64(evidence.eventLog, 'eventLog')), quote.registers)
  return claimsOf(p, ak, quote, log)
}

/** A certificate covers the key, not the rest of its public area: only an enrolled Name proves the attributes, so only then are they told. */
interface BelievedKey {
  readonly key: PublicKey
  readonly trust: TpmFacts['akTrust']
  readonly name: string
  readonly attributes: readonly string[]
  readonly area?: PublicArea
  readonly chain?: Chain
  readonly root?: TpmRoot
}

function believedKey(p: Primitives, evidence: TpmEvidence, options: TpmOptions, roots: readonly TpmRoot[]): BelievedKey {
  const bytes = fromBase64(evidence.ak, 'ak')
  const named = options.aks ?? []
  const area = bytes[0] === DER_SEQUENCE ? undefined : readPublicArea(p, bytes)
  const key = area?.key ?? spkiToKey(bytes, 'ak')
  const spkiName = `spki:${toHex(p.hash('sha256', keyToSpki(key)))}`
  if (area !== undefined) checkAttributes(area)
  const common = { key, name: spkiName, attributes: [], ...(area === undefined ? {} : { area }) }
  // A key that the relying party enrolled needs nobody else's word, whatever certificates came with it.
  if (area !== undefined && named.includes(area.name)) return { ...common, trust: 'name', name: area.name, attributes: area.attributes }
  if (evidence.certificates !== undefined && area !== undefined) {
    const certified = attempt(() => certifiedBy(p, key, evidence, options, roots))
    if (certified.ok) return { ...common, trust: 'chain', ...certified.value }
    const { code, at, expected, got, fix } = certified.refusal
    return refuse(code, at, expected, got, fix ?? `if you enrolled this key, name it: "aks": ["${area.name}"] in a trust file`)
  }
  if (named.includes(spkiName)) return { ...common, trust: 'key' }
  return refuse('evidence.signer', 'ak', 'a key certified by a pinned root with its public area, or named by the relying party', area?.name ?? spkiName, 'add the certificates of the attestation key, or name it: "aks" in a trust file')
}
const DER_SEQUENCE = 0x30

/** Attributes without which a signature over the TCG prefix means nothing: anybody could have made the key or the message. */
const NEEDED = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign']
const FORBIDDEN = ['decrypt', 'encryptedDuplication']

function checkAttributes(area: PublicArea): void {
  const good = NEEDED.every(one => area.attributes.includes(one)) && !FORBIDDEN.some(one => area.attributes.includes(one))
  if (!good) refuse('evidence.signer', 'ak.objectAttributes', `${NEEDED.join(', ')}; not ${FORBIDDEN.join(', ')}`, area.attributes.join(', '))
}

function checkScheme(area: PublicArea, signature: TpmSignature): void {
  if (area.scheme !== signature.scheme || area.schemeHash !== signature.hash) refuse('evidence.signer', 'signature.sigAlg', `${area.scheme ?? 'a scheme fixed in the key'} with ${area.schemeHash ?? 'its hash'}`, `${signature.scheme} with ${signature.hash}`)
}

const EXTENDED_KEY_USAGE = '2.5.29.37'
const AIK_CERTIFICATE = '2.23.133.8.3' // tcg-kp-AIKCertificate

interface KnownChain { readonly leaf: Certificate; readonly chain: Chain; readonly root: TpmRoot; readonly notBefore: number; readonly notAfter: number }

/** The chain over this very key, to a pinned root, through a certificate made for attestation keys (not for an EK). */
function certifiedBy(p: Primitives, key: PublicKey, evidence: TpmEvidence, options: TpmOptions, roots: readonly TpmRoot[]): KnownChain {
  const ders = (evidence.certificates ?? []).map((one, i) => fromBase64(one, `certificates[${i}]`))
  const lists = (evidence.crls ?? []).map((one, i) => fromBase64(one, `crls[${i}]`))
  const flags = new Uint8Array([options.requireCrl === true ? 1 : 0, ders.length])
  const known = remember(p, options, 'tpm chain', [flags, ...ders, ...lists, ...roots.map(one => one.certificate.der)], () => akChain(p, ders, lists, options, roots))
  if (!equal(keyToSpki(known.leaf.publicKey), keyToSpki(key))) refuse('evidence.binding', 'ak', `the key of ${known.leaf.subjectCommonName || 'the certificate'}`, 'another key')
  return known
}

function akChain(p: Primitives, ders: readonly Uint8Array[], lists: readonly Uint8Array[], options: TpmOptions, roots: readonly TpmRoot[]): KnownChain {
  const [leaf, ...intermediates] = ders.map((der, i) => orRefuse(parseCertificate(der, `certificates[${i}]`)))
  if (leaf === undefined) return refuse('evidence.missing', 'certificates', 'the certificate of the attestation key', 'none')
  const crls = lists.map((der, i) => orRefuse(parseCrl(der, `crls[${i}]`)))
  const results = roots.map(root => ({ root, result: validateChain(p, { leaf, intermediates, roots: [root.certificate], at: options.now, crls, ...(options.requireCrl === undefined ? {} : { requireCrl: options.requireCrl }) }) }))
  for (const { root, result } of results) {
    if (!result.ok) continue
    checkPath(leaf, intermediates, result.value)
    return { leaf, root, chain: result.value, notBefore: result.value.notBefore, notAfter: result.value.notAfter }
  }
  return refuseChain(results.map(one => one.result))
}

function checkPath(leaf: Certificate, intermediates: readonly Certificate[], chain: Chain): void {
  intermediates.forEach((one, i) => {
    if (!chain.path.some(used => equal(used.der, one.der))) refuse('evidence.chain', `certificates[${i + 1}]`, 'certificates of the chain', one.subjectCommonName, 'leave out what is not part of the chain')
  })
  const usage = leaf.extensions.get(EXTENDED_KEY_USAGE)
  const purposes = usage === undefined ? [] : children(readDer(usage.value, 'extKeyUsage')).map(one => oidOf(one))
  if (leaf.ca || leaf.keyUsage === undefined || (usage !== undefined && !purposes.includes(AIK_CERTIFICATE))) refuse('evidence.signer', 'certificates[0]', 'the certificate of an attestation key: digitalSignature, not a CA', leaf.ca ? 'a CA' : purposes.join(', ') || 'no key usage')
}

/** Time and revocation under one root say more than that the others do not know the chain. */
function refuseChain(results: readonly Result<Chain>[]): never {
  const refusals = results.flatMap(one => (one.ok ? [] : [one.refusal]))
  const own = refusals.find(one => /^(?:x509\.(?:expired|not-yet-valid|revoked)|crl\.)/.test(one.code))
  if (own !== undefined) return refuse(own.code, own.at, own.expected, own.got, own.fix)
  const [first] = refusals
  return refuse('evidence.chain', first === undefined ? 'certificates' : `${first.at} (${first.code})`, first?.expected ?? 'a pinned root', first?.got ?? 'none', first?.fix)
}

const FOR_EVER = { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER }

function claimsOf(p: Primitives, ak: BelievedKey, quote: ProvenQuote, log: ProvenLog | undefined): TpmClaims {
  const { attest, registers, banks } = quote
  const instance = ak.chain?.path[0] === undefined ? undefined : gcpInstance(ak.chain.path[0])
  const named = Object.fromEntries([...registers.values].map(([index, value]) => [registerName('pcr', index), toHex(value)]))
  const facts: TpmFacts = {
    kind: 'tpm', akTrust: ak.trust, akName: ak.name, akAttributes: ak.attributes, firmwareVersion: attest.firmwareVersion,
    clock: { ...attest.clock, milliseconds: attest.clock.milliseconds.toString() }, bank: registers.bank, pcrs: banks, ...(instance === undefined ? {} : { instance }),
    ...(log === undefined ? {} : { boot: log.boot, unprovenEvents: log.unproven, uncovered: log.uncovered }),
  }
  return {
    tee: 'tpm', simulated: ak.root?.simulated ?? false, product: ak.root?.product ?? 'TPM 2.0', signer: 'ak', measurement: named['PCR0'] ?? '', registers: named,
    reportData: toHex(attest.extraData), hostData: '', debug: false, migration: false, chipId: ak.name,
    validity: ak.chain === undefined ? FOR_EVER : { notBefore: ak.chain.notBefore, notAfter: ak.chain.notAfter },
    endorsements: ak.chain === undefined ? [] : [...ak.chain.path, ...ak.chain.crls].map(one => `sha256:${toHex(p.hash('sha256', one.der))}`),
    revocation: ak.chain !== undefined && ak.chain.crls.length >= ak.chain.path.length - 1,
    ...(log === undefined ? {} : { events: log.events }), facts,
  }
}
