/**
 * A log of ours with its Rekor face, served on the loopback, and Sigstore's clients around it: they sign and log, and they
 * verify with a trusted root that names our log, a local certificate authority and a local timestamp authority, and with no
 * network. Nothing of the clients is replaced.
 */
import { generateKeyPairSync, sign as signWith, type KeyObject } from 'node:crypto'
import { Hono } from 'hono'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { utf8 } from '@cloister/core/bytes/text'
import { basicConstraintsCa, ECDSA_SHA256, issueCertificate, keyUsage } from '@cloister/core/crypto/issue'
import { spkiToKey } from '@cloister/core/crypto/keys'
import { parseCertificate, type Certificate } from '@cloister/core/crypto/x509'
import { formatProof, verifyProof } from '@cloister/core/log/proof'
import { orRefuse, type Result } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p, type LocalSigner } from '../../cloud/crypto/node.ts'
import { serveApp } from '../../cloud/ledger/http.ts'
import { openLedger, type Ledger } from '../../cloud/ledger/ledger.ts'
import { rekorFace, rekorTrustedRoot, type TransparencyLogEntry, type TrustedLog, type TrustedRoot } from '../../cloud/ledger/rekor.ts'
import { Sequencer } from '../../cloud/ledger/sequencer.ts'
import { openWitness } from '../../cloud/ledger/witness.ts'
import { emptyDisk, openMemoryStore } from '../../cloud/store/memory.ts'
import type { Clients, SigstoreSigner } from './clients.ts'
import { timestamp } from './tsa.ts'

export const NOW = 1_800_000_000
/** Signers' certificates live for an hour around it, the authorities' for a day. */
const HOUR = 3600
export const TYPE = 'application/vnd.in-toto+json'

/** A bundle as its JSON has it, as far as cases change it. */
export interface BundleJson {
  readonly mediaType: string
  verificationMaterial: { tlogEntries: Entry[]; publicKey?: { hint: string }; certificate?: { rawBytes: string }; timestampVerificationData?: { rfc3161Timestamps: { signedTimestamp: string }[] } }
  dsseEnvelope?: { payload: string; payloadType: string; signatures: { sig: string; keyid?: string }[] }
  messageSignature?: { messageDigest: { algorithm: string; digest: string }; signature: string }
}
type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer U)[] ? U[] : T[K] extends object ? Mutable<T[K]> : T[K] extends '0' ? string : T[K] }
export type Entry = Mutable<TransparencyLogEntry>

export interface VerifyOptions {
  readonly artifact?: string
  /** The key that stands behind each hint. */
  readonly keys?: Readonly<Record<string, KeyObject>>
  /** What is otherwise about the log that is trusted. */
  readonly log?: Partial<TrustedLog>
  readonly tlogThreshold?: number
}

export interface Party { readonly publicKey: KeyObject; readonly sign: (message: Uint8Array) => Buffer; readonly certificate: Certificate }
export interface World {
  readonly url: string
  readonly ledger: Ledger
  readonly signer: LocalSigner
  /** What a verifier is given to trust: our log and both local authorities. */
  trustedRoot(log?: VerifyOptions['log']): TrustedRoot
  readonly alice: Party
  readonly bob: Party
  /** With a key of its own, by hint: the entry carries a certificate that it signed itself. */
  keyed(who: Party, hint: string): SigstoreSigner
  /** With a certificate of the local authority. */
  certified(who: Party): SigstoreSigner
  /** Signed and logged by Sigstore's clients; `time` is what the timestamp authority says, where it is asked. */
  bundle(kind: 'dsse' | 'message', signer: SigstoreSigner, artifact: string, time?: number): Promise<BundleJson>
  /** What Sigstore's verifier says: `accept`, or the code of its error. */
  theirs(bundle: BundleJson, options?: VerifyOptions): string
  /** What our own verifier says of the entry and its proof: it asks for the witnesses as well. */
  ours(bundle: BundleJson): Result<void>
  close(): Promise<void>
}

export async function openWorld(clients: Clients, origin = 'log.example'): Promise<World> {
  const memory = () => openMemoryStore(emptyDisk(), new Uint8Array(32))
  const signer = generateSigner('ed25519')
  const witnesses = [openWitness(p, 'w.example', generateSigner('ed25519'), memory()), openWitness(p, 'v.example', generateSigner('ml-dsa-44'), memory())]
  const ledger = await openLedger({ p, store: memory(), origin, signers: [signer, generateSigner('ml-dsa-44')], witnesses, quorum: 2 })
  const sequencer = new Sequencer(ledger, { clock: () => NOW })
  await Promise.all(Array.from({ length: 300 }, (_, i) => sequencer.add(utf8(`an entry of others ${i}`)))) // proofs over a full tile and an open one
  const root = party('local authority', { ca: true, hours: 24 })
  const tsa = party('local timestamps', { hours: 24, issuer: root })
  const app = new Hono()
  rekorFace(app, '', sequencer, p)
  let time = NOW
  app.post('/api/v1/timestamp', async context => context.body(Uint8Array.from(timestamp(tsa.certificate, tsa.sign, (await context.req.json<{ artifactHash: string }>()).artifactHash, time))))
  const served = await serveApp(app)
  const [alice, bob] = [party('alice', { issuer: root }), party('bob', { issuer: root })]
  const trustedRoot = (log: VerifyOptions['log'] = {}): TrustedRoot => {
    const own = rekorTrustedRoot(p, ledger.policy)
    return { ...own, tlogs: own.tlogs.map(one => ({ ...one, ...log })), certificateAuthorities: [authority(root)], timestampAuthorities: [authority(tsa, root)] }
  }
  return {
    url: served.url, ledger, signer, trustedRoot, alice, bob, close: served.close,
    // @sigstore/sign sends as a certificate whatever stands for a public key: so it is one, self-signed.
    keyed: (who, hint) => ({ sign: async data => ({ signature: who.sign(data), key: { $case: 'publicKey', hint, publicKey: pem(certificateOf('my own key', who, {})) } }) }),
    certified: who => ({ sign: async data => ({ signature: who.sign(data), key: { $case: 'x509Certificate', certificate: pem(who.certificate) } }) }),
    bundle: async (kind, by, artifact, at) => {
      const { sign } = clients
      time = at ?? NOW
      const witness = new sign.RekorWitness({ rekorBaseURL: served.url, majorApiVersion: 2, timeout: 10_000, retry: 0 })
      const witnessed = at === undefined ? [witness] : [witness, new sign.TSAWitness({ tsaBaseURL: served.url, timeout: 10_000, retry: 0 })]
      const builder = new (kind === 'dsse' ? sign.DSSEBundleBuilder : sign.MessageSignatureBundleBuilder)({ signer: by, witnesses: witnessed })
      // Their own JSON, read again: what travels is text.
      return JSON.parse(JSON.stringify(clients.bundle.bundleToJSON(await builder.create(kind === 'dsse' ? { data: Buffer.from(artifact), type: TYPE } : { data: Buffer.from(artifact) })))) as BundleJson
    },
    theirs: (bundle, { artifact, keys = { alice: alice.publicKey, bob: bob.publicKey }, log, tlogThreshold = 1 } = {}) => {
      try {
        const parsed = clients.bundle.bundleFromJSON(bundle)
        const trust = clients.verify.toTrustMaterial(clients.specs.TrustedRoot.fromJSON(trustedRoot(log)), hint => keyOf(keys, hint))
        const certified = bundle.verificationMaterial.publicKey === undefined
        new clients.verify.Verifier(trust, { tlogThreshold, ctlogThreshold: 0, timestampThreshold: certified ? 1 : 0 }).verify(clients.verify.toSignedEntity(parsed, artifact === undefined ? undefined : Buffer.from(artifact)))
        return 'accept'
      } catch (error) {
        return error instanceof Error && 'code' in error ? String(error.code) : error instanceof Error && error.name === 'ValidationError' ? 'BUNDLE_INVALID' : `not a verdict: ${String(error)}`
      }
    },
    ours: ({ verificationMaterial: { tlogEntries: [entry] } }) => {
      if (entry === undefined) throw new TypeError('a bundle with an entry')
      const { inclusionProof: { logIndex, hashes, checkpoint: { envelope } } } = entry
      const proof = formatProof({ index: Number(logIndex), path: hashes.map(hash => fromBase64(hash)), checkpoint: envelope })
      const verdict = verifyProof(p, fromBase64(entry.canonicalizedBody), proof, ledger.policy)
      return verdict.ok ? { ok: true, value: undefined } : verdict
    },
  }
}

function keyOf(keys: Readonly<Record<string, KeyObject>>, hint: string): object {
  const key = keys[hint]
  if (key === undefined) throw Object.assign(new Error(`no key ${hint}`), { code: 'PUBLIC_KEY_ERROR' })
  return { publicKey: key, validFor: () => true }
}

interface CertificatePlan { readonly issuer?: Party; readonly ca?: boolean; readonly hours?: number }

/** A P-256 key with a certificate by `issuer`, or by itself. */
function party(name: string, plan: CertificatePlan): Party {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const sign = (message: Uint8Array) => signWith('sha256', message, privateKey)
  return { publicKey, sign, certificate: certificateOf(name, { publicKey, sign }, plan) }
}

function certificateOf(subject: string, own: Omit<Party, 'certificate'>, { issuer, ca = false, hours = 1 }: CertificatePlan): Certificate {
  const key = spkiToKey(new Uint8Array(own.publicKey.export({ format: 'der', type: 'spki' })))
  const plan = { serial: new Uint8Array([1, subject.length]), issuer: issuer?.certificate.subjectCommonName ?? subject, subject, key, notBefore: NOW - hours * HOUR, notAfter: NOW + hours * HOUR, extensions: ca ? [basicConstraintsCa(), keyUsage(0x04)] : [keyUsage(0x80)] }
  return orRefuse(parseCertificate(issueCertificate(plan, { algorithm: ECDSA_SHA256, sign: tbs => new Uint8Array((issuer ?? own).sign(tbs)) })))
}

const pem = ({ der }: Certificate): string => `-----BEGIN CERTIFICATE-----\n${toBase64(der).match(/.{1,64}/g)?.join('\n') ?? ''}\n-----END CERTIFICATE-----\n`

const authority = (...chain: readonly Party[]): object => ({ subject: {}, uri: '', certChain: { certificates: chain.map(({ certificate }) => ({ rawBytes: toBase64(certificate.der) })) }, validFor: { start: '2020-01-01T00:00:00Z' } })
