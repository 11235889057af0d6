/**
 * EAR as a CBOR Web Token: numbers in place of names (draft-ietf-rats-ear-04 section 3, RFC 8392, RFC 9711). Brought into
 * the JSON form, so that one reader judges both. Trusts nothing.
 */
import { cborFields, cborInt, cborLabel, cborOf, cborText, type Cbor } from '../../bytes/cbor.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Json, JsonObject } from '../../bytes/json.ts'
import { refuse } from '../../refusal.ts'
import { VECTOR } from './ear.ts'

type Read = (value: Cbor, at: string) => Json
const text: Read = (value, at) => cborText(value, at, 64 * 1024)
const number: Read = (value, at) => cborInt(value, at)
const bytes: Read = (value, at) => toHex(cborOf('bytes', value, at).value)
const fields = (known: Readonly<Record<number, readonly [string, Read]>>): Read => (value, at) => Object.fromEntries([...cborFields(value, at)].map(([key, one]) => {
  const field = typeof key === 'number' ? known[key] : undefined
  return field === undefined ? refuse('evidence.token', `${at}.${key}`, Object.keys(known).join(', '), String(key)) : [field[0], field[1](one, `${at}.${field[0]}`)]
}))

const SUBMODULE = fields({
  1000: ['ear.status', number], 1001: ['ear.trustworthiness-vector', fields(Object.fromEntries(VECTOR.map((name, i) => [i, [name, number]])))], 1003: ['ear.appraisal-policy-id', text],
})
const submodules: Read = (value, at) => Object.fromEntries(cborOf('map', value, at).value.map(({ key, value: one }) => {
  const name = cborLabel(key, at)
  return typeof name === 'string' ? [name, SUBMODULE(one, `${at}.${name}`)] : refuse('evidence.token', at, 'submodules by name', String(name))
}))
const CLAIMS = fields({
  1: ['iss', text], 3: ['aud', text], 4: ['exp', number], 5: ['nbf', number], 6: ['iat', number], 10: ['eat_nonce', bytes], 265: ['eat_profile', text], 266: ['submods', submodules],
  1004: ['ear.verifier-id', fields({ 0: ['developer', text], 1: ['build', text] })],
})

/** The claims of a CWT as the JSON form names them; claims that EAR does not have are refused. Leaves with `evidence.token` or `cbor.*`. */
export function earOfCwt(value: Cbor): JsonObject {
  const claims = CLAIMS(value, 'token')
  // `fields` gives objects.
  return claims as JsonObject
}
