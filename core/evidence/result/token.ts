/**
 * Result tokens: what somebody else's verifier says of a machine, as a JSON Web Token, a CBOR Web Token (EAR) or NVIDIA's
 * set of tokens. Nothing here saw the machine's own evidence: each claim rests on the word of one verifier, by name.
 *
 * Trusts: the verifiers that the relying party named, with the keys or roots it gave for each. A key that a token brings
 * along, an address in it or an issuer that nobody named is never believed (attacks.md rows 75, 88).
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { readCbor } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import { shown, type JsonObject } from '../../bytes/json.ts'
import { utf8 } from '../../bytes/text.ts'
import { readSign1, verifySign1, type CoseSign1 } from '../../crypto/cose.ts'
import { chainOf, checkTimes, claimsOf, parseJws, timesOf, verifyJws, type Jws, type NamedKey } from '../../crypto/jws.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import type { Certificate } from '../../crypto/x509.ts'
import { refuse } from '../../refusal.ts'
import type { ClaimsOf } from '../claims.ts'
import type { VerifyOptions } from '../options.ts'
import { objectOf, onlyFields, textOf } from '../shape.ts'
import { readEar, type TrustClaims } from './ear.ts'
import { earOfCwt } from './cwt.ts'
import { readConfidentialSpace, readIntelTrustAuthority, readMaa, type Reading } from './forms.ts'
import { readNras } from './nras.ts'

export type Form = 'ear' | 'maa' | 'confidential-space' | 'ita' | 'nras'
export const FORMS: readonly Form[] = ['ear', 'maa', 'confidential-space', 'ita', 'nras']

/** A verifier that a relying party believes, and how its tokens are known. */
export interface Verifier {
  /** What policies and people call it. */
  readonly name: string
  readonly form: Form
  /** `iss`, exactly; left out only for a verifier whose tokens have none. */
  readonly issuer?: string
  /** Its public keys, as the relying party got them from it. */
  readonly keys: readonly NamedKey[]
  /** Where its tokens bring a certificate chain: the roots that chain must end in. */
  readonly roots?: readonly Certificate[]
  /** Whom its tokens are for: a token that names an audience counts for that one alone. */
  readonly audience?: string
  /** Greatest age in seconds since `iat`; needed for tokens without `exp`. */
  readonly maxAge?: number
}

export interface TokenEvidence {
  readonly kind: 'token'
  /** A compact JWT, or a tagged or untagged COSE_Sign1 (CWT) in base64. */
  readonly token: string
  /** NVIDIA: the tokens of single devices by the names that the token gives them. */
  readonly detached?: Readonly<Record<string, string>>
}

/** What only result tokens have. */
export interface TokenFacts {
  readonly kind: 'token'
  /** Whose word everything rests on, by the name that the relying party gave it. */
  readonly verifier: string
  readonly form: Form
  readonly issuer: string
  /** The verifier's word on patch levels: `UpToDate`, `OutOfDate` …; '' where it says nothing. */
  readonly status: string
  readonly advisories: readonly string[]
  /** Every nonce it carries, hex. */
  readonly nonces: readonly string[]
  /** EAR: status and trust vector of each submodule. */
  readonly trust?: Readonly<Record<string, TrustClaims>>
  /** The token's claims as they stand in it. */
  readonly statements: JsonObject
}

export type TokenClaims = ClaimsOf<TokenFacts>

/** Evidence as it came from outside, for its shape. Leaves with `evidence.parse`. */
export function readToken(json: JsonObject): TokenEvidence {
  onlyFields(json, ['kind', 'token', 'detached'])
  const token = textOf(json, 'token')
  if (json['detached'] === undefined) return { kind: 'token', token }
  const detached = objectOf(json, 'detached')
  const names = Object.keys(detached)
  if (names.length > DEVICES_MAX) refuse('evidence.parse', 'evidence.detached', `at most ${DEVICES_MAX} tokens`, String(names.length))
  return { kind: 'token', token, detached: Object.fromEntries(names.map(name => [name, textOf(detached, name)])) }
}
const DEVICES_MAX = 64

/**
 * The claims of a token that a named verifier signed, in its time. Leaves with `evidence.unsupported` where the relying
 * party named nobody for it, `evidence.token`, `evidence.signature`, `crypto.algorithm`, `x509.*`, `json.*`, `cbor.*`.
 */
export function verifyToken(p: Primitives, evidence: TokenEvidence, options: VerifyOptions): TokenClaims {
  const verify = evidence.token.includes('.') ? verifiedJwt : verifiedCwt
  const { verifier, statements, window, endorsements } = verify(p, evidence.token, options)
  checkAudience(statements, verifier)
  const device = (token: string) => verifiedJwt(p, token, { ...options, verifiers: [verifier] }).statements
  const reading = read(p, verifier, statements, evidence, device)
  const { issuedAt } = timesOf(statements)
  const { status, advisories, trust, nonces, ...claims } = reading
  return {
    ...claims, simulated: false, signer: `verifier:${verifier.name}`, reportData: claims.reportData ?? nonces[0] ?? '', ...(issuedAt === undefined ? {} : { issuedAt }),
    validity: window, endorsements: [`sha256:${toHex(p.hash('sha256', utf8(evidence.token)))}`, ...endorsements], revocation: false,
    facts: { kind: 'token', verifier: verifier.name, form: verifier.form, issuer: verifier.issuer ?? '', status, advisories, nonces, ...(trust === undefined ? {} : { trust }), statements },
  }
}

/** What a form's claims come to, without the signature: for tools that show unsigned claim sets. Leaves with `evidence.token`. */
export function readStatements(form: Exclude<Form, 'nras'>, statements: JsonObject): Reading {
  switch (form) {
    case 'ear': return readEar(statements)
    case 'maa': return readMaa(statements)
    case 'confidential-space': return readConfidentialSpace(statements)
    case 'ita': return readIntelTrustAuthority(statements)
  }
}

function read(p: Primitives, { form }: Verifier, statements: JsonObject, { detached }: TokenEvidence, device: (token: string) => JsonObject): Reading {
  if (form === 'nras') return readNras(p, statements, detached ?? {}, device)
  if (detached !== undefined) refuse('evidence.token', 'evidence.detached', 'no tokens of devices beside a token of this form', form)
  return readStatements(form, statements)
}

interface Verified { readonly verifier: Verifier; readonly statements: JsonObject; readonly window: { readonly notBefore: number; readonly notAfter: number }; readonly endorsements: readonly string[] }

function verifiedJwt(p: Primitives, token: string, options: VerifyOptions): Verified {
  const jws = parseJws(token)
  const statements = claimsOf(jws)
  const verifier = namedFor(options, statements)
  const chain = jws.x5c === undefined || verifier.roots === undefined ? undefined : chainOf(p, jws, verifier.roots, options.now)
  const leaf = chain?.path[0]?.publicKey
  verifyJws(p, jws, leaf === undefined ? keysFor(verifier, jws) : [{ ...(jws.kid === undefined ? {} : { kid: jws.kid }), key: leaf }])
  const times = checkTimes(timesOf(statements), timeRules(verifier, options))
  if (chain === undefined) return { verifier, statements, window: times, endorsements: [] }
  const window = { notBefore: Math.max(times.notBefore, chain.notBefore), notAfter: Math.min(times.notAfter, chain.notAfter) }
  return { verifier, statements, window, endorsements: chain.path.map(one => `sha256:${toHex(p.hash('sha256', one.der))}`) }
}

/** A set with one key without a name signs tokens with any name: some verifiers publish a single PEM. */
const keysFor = ({ keys: [only, more], keys }: Verifier, { kid }: Jws): readonly NamedKey[] => (only !== undefined && more === undefined && only.kid === undefined && kid !== undefined ? [{ ...only, kid }] : keys)

function verifiedCwt(p: Primitives, token: string, options: VerifyOptions): Verified {
  const sign1: CoseSign1 = readSign1(fromBase64(token, 'token'), { at: 'token', tag: 'optional' })
  const statements = earOfCwt(readCbor(sign1.payload, { at: 'token.payload' }))
  const verifier = namedFor(options, statements)
  if (verifier.form !== 'ear') refuse('evidence.token', 'token', `a token in the form of ${verifier.name}: ${verifier.form} as JWT`, 'a CBOR Web Token')
  if (!verifier.keys.some(({ key }) => verifySign1(p, sign1, key))) refuse('evidence.signature', 'token.signature', `a signature by ${verifier.name}`, 'one that does not hold')
  return { verifier, statements, window: checkTimes(timesOf(statements), timeRules(verifier, options)), endorsements: [] }
}

const timeRules = ({ maxAge }: Verifier, { now }: VerifyOptions) => ({ now, leeway: 0, ...(maxAge === undefined ? {} : { maxAge }) })

function namedFor({ verifiers = [] }: VerifyOptions, { iss }: JsonObject): Verifier {
  if (iss !== undefined && typeof iss !== 'string') refuse('evidence.token', 'token.iss', 'text', shown(iss))
  const named = verifiers.find(one => one.issuer === iss)
  return named ?? refuse('evidence.unsupported', 'token.iss', verifiers.length === 0 ? 'a verifier that the relying party named' : verifiers.map(one => one.issuer ?? 'a token without issuer').join(', '), iss ?? 'none', 'name the verifier with its keys, if you believe it')
}

function checkAudience({ aud }: JsonObject, { audience, name }: Verifier): void {
  const list = aud === undefined ? [] : Array.isArray(aud) ? aud : [aud]
  if (audience === undefined ? aud !== undefined : !list.includes(audience)) {
    refuse('evidence.token', 'token.aud', audience ?? 'a token for everybody', aud === undefined ? 'none' : list.map(shown).join(', '), `name the audience that tokens of ${name} are for: one for somebody else proves nothing here`)
  }
}
