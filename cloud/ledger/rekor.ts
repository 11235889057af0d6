/**
 * The Rekor v2 face of a log (sigstore/rekor-tiles): clients of Sigstore write signatures into it and get the proof that
 * goes into their bundles. Everybody may write; an entry says that somebody holds a key and signed, and nothing more. That
 * it says so holds only for an origin without another way in: beside `POST add`, anybody could log a body nobody signed.
 *
 * What Rekor does and this does not: an entry that comes twice is logged twice. Each has its own index and its own proof,
 * both true; nobody may count entries. (Rekor answers 409 for as long as it remembers the first.) There is no time in an
 * entry (`integratedTime` is 0): the witnesses' cosignatures on the checkpoint carry theirs, RFC 3161 timestamps are for
 * clients. Trusts the sequencer and its ledger.
 */
import type { Context, Hono } from 'hono'
import { toBase64 } from '@cloister/core/bytes/base64'
import { concat } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import { keyToSpki } from '@cloister/core/crypto/keys'
import type { Primitives } from '@cloister/core/crypto/primitives'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { ED25519, readVkey } from '@cloister/core/log/note'
import type { LogPolicy } from '@cloister/core/log/policy'
import { parseProof } from '@cloister/core/log/proof'
import { attemptAsync, orRefuse, refuse, type Refusal } from '@cloister/core/refusal'
import { readBounded, readFace } from './http.ts'
import type { Ledger } from './ledger.ts'
import { readRekorRequest, REQUEST_BYTES_MAX, type RekorEntry } from './rekor-entry.ts'
import type { Sequencer } from './sequencer.ts'

/** As protobuf's JSON names it (`dev.sigstore.rekor.v1.TransparencyLogEntry`): 64-bit numbers are texts, bytes are base64. */
export interface TransparencyLogEntry {
  readonly logIndex: string
  readonly logId: { readonly keyId: string }
  readonly kindVersion: { readonly kind: string; readonly version: string }
  readonly integratedTime: '0'
  readonly inclusionProof: { readonly logIndex: string; readonly rootHash: string; readonly treeSize: string; readonly hashes: readonly string[]; readonly checkpoint: { readonly envelope: string } }
  readonly canonicalizedBody: string
}

/**
 * Mount the face below `path` (such as '' or '/releases'): `POST …/api/v2/log/entries`, and the log's files at
 * `…/api/v2/checkpoint` and `…/api/v2/tile/…`. Leaves with `crypto.algorithm` for a log without an Ed25519 key, whose
 * checkpoints no client of Sigstore could verify.
 *
 * @example
 * rekorFace(app, '', new Sequencer(ledger, { clock }), p)
 */
export function rekorFace(app: Hono, path: string, sequencer: Sequencer, p: Primitives): void {
  const { ledger } = sequencer
  const logId = rekorLogId(p, ledger.policy)
  const base = `${path}/api/v2`
  app.post(`${base}/log/entries`, async context => {
    const logged = await attemptAsync(async () => {
      const entry = orRefuse(readRekorRequest(p, orRefuse(await readBounded(context, REQUEST_BYTES_MAX))))
      const { index } = orRefuse(await sequencer.add(entry.body))
      return answerOf(ledger, logId, entry, index)
    })
    return logged.ok ? context.json(logged.value, 201) : refused(context, logged.refusal)
  })
  readFace(app, base, ledger)
}

/** The log's id in bundles and trusted roots: the key id of its Ed25519 signatures, not truncated (32 bytes). Leaves with `crypto.algorithm`. */
export function rekorLogId(p: Primitives, policy: Pick<LogPolicy, 'logs'>): Uint8Array {
  const { name, key } = ed25519Of(policy)
  return p.hash('sha256', concat(utf8(`${name}\n`), new Uint8Array([ED25519]), key))
}

/** A log in Sigstore's TrustedRoot. */
export interface TrustedLog {
  readonly baseUrl: string
  readonly hashAlgorithm: 'SHA2_256'
  readonly publicKey: { readonly rawBytes: string; readonly keyDetails: string; readonly validFor: { readonly start: string } }
  readonly logId: { readonly keyId: string }
  readonly checkpointKeyId: { readonly keyId: string }
}
export interface TrustedRoot { readonly mediaType: string; readonly tlogs: readonly TrustedLog[]; readonly certificateAuthorities: readonly object[]; readonly timestampAuthorities: readonly object[]; readonly ctlogs: readonly object[] }

/**
 * What a client of Sigstore is given to trust this log (TrustedRoot v0.2, JSON): enough for bundles with keys of their own;
 * authorities for certificates and timestamps are for others to add. Clients look for the origin in `baseUrl`; they ask for
 * no witness. Leaves with `crypto.algorithm`.
 */
export function rekorTrustedRoot(p: Primitives, policy: Pick<LogPolicy, 'logs'>): TrustedRoot {
  const { name, key } = ed25519Of(policy)
  const id = { keyId: toBase64(rekorLogId(p, policy)) }
  const publicKey = { rawBytes: toBase64(keyToSpki({ kind: 'ed25519', raw: key })), keyDetails: 'PKIX_ED25519', validFor: { start: '1970-01-01T00:00:00Z' } }
  return {
    mediaType: 'application/vnd.dev.sigstore.trustedroot.v0.2+json', certificateAuthorities: [], timestampAuthorities: [], ctlogs: [],
    tlogs: [{ baseUrl: `https://${name}`, hashAlgorithm: 'SHA2_256', publicKey, logId: id, checkpointKeyId: id }],
  }
}

function ed25519Of({ logs }: Pick<LogPolicy, 'logs'>): { readonly name: string; readonly key: Uint8Array } {
  return logs.map(one => readVkey(one.vkey)).find(one => one.type === ED25519) ?? refuse('crypto.algorithm', 'log', 'an Ed25519 key beside others', 'none')
}

/** Index, proof and checkpoint come from one proof, so that they belong to one tree. */
async function answerOf(ledger: Ledger, logId: Uint8Array, { kind, version, body }: RekorEntry, index: number): Promise<TransparencyLogEntry> {
  const { path, checkpoint } = orRefuse(parseProof(orRefuse(await ledger.prove(index))))
  const { size, root } = orRefuse(parseCheckpoint(checkpoint))
  const logIndex = String(index)
  return {
    logIndex, logId: { keyId: toBase64(logId) }, kindVersion: { kind, version }, integratedTime: '0',
    inclusionProof: { logIndex, rootHash: toBase64(root), treeSize: String(size), hashes: path.map(toBase64), checkpoint: { envelope: checkpoint } },
    canonicalizedBody: toBase64(body),
  }
}

// ---- errors: google.rpc.Status as grpc-gateway writes it; clients read `message`

const INVALID_ARGUMENT = 3
const UNAVAILABLE = 14

/** What cannot be served now may be sent again (clients do, from 500 up); everything else is the request's fault. */
function refused(context: Context, { code, at, expected, got, fix }: Refusal): Response {
  const message = `${code} at ${at}: expected ${expected}, got ${got}${fix === undefined ? '' : `; ${fix}`}`
  const later = code === 'log.unavailable' || code.startsWith('store.')
  return context.json({ code: later ? UNAVAILABLE : INVALID_ARGUMENT, message, details: [] }, later ? 503 : 400)
}
