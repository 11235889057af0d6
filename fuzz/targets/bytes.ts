/** Targets in core/bytes and core/crypto: readers of encodings, keys and certificates. */
import { fromBase64, fromBase64Raw, fromBase64Url, toBase64, toBase64Raw, toBase64Url } from '@cloister/core/bytes/base64'
import { equal } from '@cloister/core/bytes/bytes'
import { children, derSequence, readDer, timeOf, oidOf, signed, smallInteger, booleanOf, bitBytes, TAG, type Der } from '@cloister/core/bytes/der'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJson, type Json } from '@cloister/core/bytes/json'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { ecdsaFromDer, ecdsaToDer, formatKey, keyToSpki, parseKey, spkiToKey } from '@cloister/core/crypto/keys'
import { readPem, writePem } from '@cloister/core/crypto/pem'
import type { PublicKey } from '@cloister/core/crypto/primitives'
import { parseCertificate, parseCrl, validateChain, type Certificate, type RevocationList } from '@cloister/core/crypto/x509'
import { amdRoots } from '@cloister/core/evidence/snp/roots'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { certificateDer, crlDer, LEAF, LEAF_EXTENSIONS, leaf, MIDDLE, middle, NOW, ROOT, root } from '../../core/crypto/chain.fixture.ts'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { changeBytes } from '../bytes.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { change, changeJson, changeText } from '../texts.ts'

const lossy = new TextDecoder()
/** Text targets read their bytes as UTF-8, what is none of it replaced. */
export const textOf = (input: Uint8Array): string => lossy.decode(input)

const ALPHABET = 'ABZabz059+/-_=\n \u00e9'
const encodedText = (write: (bytes: Uint8Array) => string) => (draw: Draw) => {
  const text = write(draw.bytes(draw.below(40)))
  return utf8(draw.oneIn(4) ? text : draw.oneIn(3) ? Array.from({ length: draw.below(12) }, () => draw.pick([...ALPHABET])).join('') : changeText(draw, text))
}
const sameText = (write: (value: Uint8Array) => string) => (input: Uint8Array, value: unknown) => (write(value as Uint8Array) === textOf(input) ? undefined : 'written back as another text') // the value is what `judge` gave

const LEAVES = ['null', 'true', 'false', '0', '-1', '1.5', '1e3', '9007199254740991', '9007199254740993', '-0', '0.1', '""', '"a"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\n"', '[]', '{}']
function jsonText(draw: Draw, depth = 0): string {
  const kind = depth > 40 || draw.oneIn(3) ? 0 : draw.below(3)
  const count = draw.pick([0, 1, 1, 2, 3])
  if (kind === 1) return `[${Array.from({ length: count }, () => jsonText(draw, depth + 1)).join(',')}]`
  if (kind === 2) return `{${Array.from({ length: count }, () => `"${draw.pick(['a', 'b', 'c', '__proto__', 'constructor', '\\u0061', ''])}":${jsonText(draw, depth + 1)}`).join(',')}}`
  return draw.pick(LEAVES)
}

function walk(element: Der): unknown {
  if ((element.tag & 0x20) !== 0) return children(element, element.tag).map(walk)
  switch (element.tag) {
    case TAG.integer: return [toHex(signed(element)), attempt(() => smallInteger(element)).ok]
    case TAG.boolean: return booleanOf(element)
    case TAG.bitString: return toHex(bitBytes(element))
    case TAG.oid: return oidOf(element)
    case TAG.utcTime: case TAG.generalizedTime: return timeOf(element)
    default: return toHex(element.content)
  }
}

const SPKIS = [LEAF.key, ...['p384', 'ed25519', 'ml-dsa-44'].map(kind => ({ kind, raw: kind === 'p384' ? Uint8Array.of(4, ...new Uint8Array(96).fill(7)) : new Uint8Array(kind === 'ed25519' ? 32 : 1312).fill(7) }) as PublicKey), amdRoots()[0]?.ark.publicKey ?? LEAF.key].map(keyToSpki) // kinds and sizes fit each other
const CERTIFICATES = [leaf.der, middle.der, root.der, ...amdRoots().flatMap(set => [set.ark.der, ...set.intermediates.map(one => one.der)])]
const LISTS = [crlDer(ROOT, []), crlDer(ROOT, [1, 2, 3]), crlDer(MIDDLE, [7])]
const SIGNATURES = [ecdsaToDer(new Uint8Array(64).fill(0x81)), ecdsaToDer(new Uint8Array(96).fill(1)), ROOT.port.sign(utf8('a'))]
const KEYS = [formatKey(LEAF.key), `ed25519:${'94'.repeat(32)}`, `ml-dsa-44:${'01'.repeat(1312)}`]
const PEM = CERTIFICATES.slice(0, 3).map(one => writePem('CERTIFICATE', one)).join('')

const changedOneOf = (valid: readonly Uint8Array[]) => (draw: Draw) => (draw.oneIn(40) ? draw.pick(valid) : change(draw, draw.pick(valid)))

/** Leaf and intermediate of a chain to a pinned root, as two parts behind their lengths. */
const CHAIN = joined(leaf.der, middle.der)
function joined(...parts: readonly Uint8Array[]): Uint8Array { return derSequence(...parts) }
function chainOf(input: Uint8Array): Certificate[] { return children(readDer(input)).map(part => orRefuse(parseCertificate(part.whole))) }

export const targets: readonly Target[] = [
  { name: 'hex', draw: encodedText(toHex), judge: input => fromHex(textOf(input)), again: (input, value) => (toHex(value as Uint8Array) === textOf(input).toLowerCase() ? undefined : 'written back as another text') }, // what judge gave
  { name: 'base64', draw: encodedText(toBase64), judge: input => fromBase64(textOf(input)), again: sameText(toBase64) },
  { name: 'base64-raw', draw: encodedText(toBase64Raw), judge: input => fromBase64Raw(textOf(input)), again: sameText(toBase64Raw) },
  { name: 'base64url', draw: encodedText(toBase64Url), judge: input => fromBase64Url(textOf(input)), again: sameText(toBase64Url) },
  { name: 'utf8', draw: draw => changeBytes(draw, draw.oneIn(2) ? draw.bytes(draw.below(12)) : utf8('aé€😀')), judge: input => fromUtf8(input), again: (input, value) => (equal(utf8(value as string), input) ? undefined : 'written back as other bytes') }, // what judge gave
  {
    name: 'json', draw: draw => { const text = jsonText(draw); return utf8(draw.oneIn(3) ? text : draw.oneIn(2) ? changeJson(draw, text) : changeText(draw, text)) }, judge: input => parseJson(input),
    again: (input, value) => {
      const text = jcs(value)
      if (jcs(parseJson(text)) !== text) return 'not the same in canonical form'
      return JSON.stringify(JSON.parse(textOf(input))) === JSON.stringify(value as Json) ? undefined : 'not what JSON.parse reads' // what judge gave
    },
  },
  { name: 'der', draw: changedOneOf([...CERTIFICATES.slice(0, 4), ...LISTS, ...SPKIS, ...SIGNATURES]), judge: input => (input.length > 1 << 17 ? refuse('bytes.too-large', 'der', 'what the readers of certificates let in', `${input.length} bytes`) : walk(readDer(input))) },
  { name: 'spki', draw: changedOneOf(SPKIS), judge: input => spkiToKey(input), again: (_, value) => (formatKey(spkiToKey(keyToSpki(value as PublicKey))) === formatKey(value as PublicKey) ? undefined : 'another key when written again') }, // what judge gave
  { name: 'key-text', draw: draw => utf8(draw.oneIn(20) ? draw.pick(KEYS) : changeText(draw, draw.pick(KEYS))), judge: input => parseKey(textOf(input)), again: (input, value) => (formatKey(value as PublicKey) === textOf(input) ? undefined : 'written back as another text') }, // what judge gave
  { name: 'ecdsa-der', draw: changedOneOf(SIGNATURES), judge: input => ecdsaFromDer(input, input.length > 80 ? 48 : 32), again: (input, value) => (equal(ecdsaToDer(value as Uint8Array), input) ? undefined : 'two forms of one signature') }, // what judge gave
  { name: 'pem', draw: draw => change(draw, utf8(PEM)), judge: input => readPem(textOf(input), 'CERTIFICATE') },
  { name: 'certificate', draw: changedOneOf(CERTIFICATES), judge: input => orRefuse(parseCertificate(input)), again: (input, value) => (equal((value as Certificate).der, input) ? undefined : 'not the bytes that came') }, // what judge gave
  { name: 'crl', draw: changedOneOf(LISTS), judge: input => orRefuse(parseCrl(input)), again: (input, value) => (equal((value as RevocationList).der, input) ? undefined : 'not the bytes that came') }, // what judge gave
  {
    name: 'chain', slow: true, draw: changedOneOf([CHAIN]),
    judge: input => { const [first, ...others] = chainOf(input); return orRefuse(validateChain(p, { leaf: first ?? leaf, intermediates: others, roots: [root], at: NOW })) },
    // Intermediates that no path uses prove nothing and are judged by whoever built the chain: leaf and path are what was signed.
    signed: { valid: [CHAIN, joined(certificateDer(LEAF, MIDDLE, { extensions: LEAF_EXTENSIONS }), middle.der), joined(middle.der)], same: input => { const [first, ...others] = chainOf(input); return [first?.der, ...others.filter(one => equal(one.der, middle.der)).slice(0, 1).map(one => one.der)].map(one => toHex(one ?? new Uint8Array(0))).join() } },
  },
]
