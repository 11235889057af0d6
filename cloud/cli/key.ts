/**
 * `cloister key`: how a charter writes a public key, for keys that were made elsewhere. Reads SubjectPublicKeyInfo in PEM or
 * DER (what tokens, `openssl pkey -pubout` and a passkey's `getPublicKey()` give); of a signing key in `keys/`, its public half.
 */
import { formatKey, keyToSpki, spkiToKey } from '@cloister/core/crypto/keys'
import { readPem } from '@cloister/core/crypto/pem'
import { parsePartyKey, webauthnKey } from '@cloister/core/charter/keys'
import { refuse } from '@cloister/core/refusal'
import { importSigner, nodePrimitives as p } from '../crypto/node.ts'
import { keyId } from './change.ts'
import { readBytes } from './folder.ts'
import type { Screen } from './screen.ts'

export function key(screen: Screen, file: string, { rp }: { readonly rp?: string }): void {
  const spki = spkiOf(file)
  const found = spkiToKey(spki, file)
  const text = rp === undefined ? formatKey(found) : webauthnKey(rp, found)
  parsePartyKey(text, file) // a kind that a charter may list
  screen.result({ ok: true, key: text, id: keyId(p, text) }, `${text}\nid ${keyId(p, text)}`)
}

function spkiOf(file: string): Uint8Array {
  const bytes = readBytes(file, 64 * 1024)
  const text = new TextDecoder('latin1').decode(bytes)
  if (!text.includes('-----BEGIN ')) return bytes
  if (text.includes('PRIVATE KEY-----')) return keyToSpki(importSigner(text).publicKey)
  const [spki, more] = readPem(text, 'PUBLIC KEY')
  return spki !== undefined && more === undefined ? spki : refuse('cli.key', file, 'one PUBLIC KEY in PEM, or its DER', spki === undefined ? 'none' : 'several')
}
