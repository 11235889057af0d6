/**
 * Mutants that survive because nobody could see them: each with the reason. `what` is what the run prints, so an entry is
 * stale as soon as the line is written otherwise, and the run says so.
 */
export interface Equivalent { readonly path: string; readonly what: string; readonly why: string }

const X509 = 'core/crypto/x509.ts'
export const EQUIVALENT: readonly Equivalent[] = [
  { path: X509, what: 'only the right of: certificate.pathLength !== undefined && depth - 1 > certificate.pathLength', why: 'no number is greater than undefined: the left side is there for the types' },
  { path: X509, what: 'only the right of: issuer.keyUsage !== undefined && (issuer.keyUsage & 0x02) === 0', why: 'the path was checked before: whoever issued a certificate in it has a key usage, with keyCertSign' },
  { path: X509, what: 'only the right of: tbs === undefined || algorithm === undefined', why: 'where the first part is missing, so is the second' },
  { path: X509, what: 'only the right of: fields.size !== parts.length || parts.length !== (trailer === undefined ? 3 : 4)', why: 'a parameter that is there twice leaves another one of the three or four missing, and that one is asked for below' },
  { path: X509, what: "only the right of: hash === undefined || oidOf(mgf, at) !== '1.2.840.113549.1.1.8'", why: 'an unknown hash has no length that a salt could have' },
  { path: X509, what: 'only the left of: parts.length === 3 && parts[1] !== undefined', why: 'of three parts the second is there: the right side is there for the types' },
  { path: 'core/crypto/keys.ts', what: 'only the right of: first !== undefined && second !== undefined', why: 'where there is a second part, there is a first: the left side is there for the types' },
  { path: 'core/evidence/snp/report.ts', what: 'only the right of: model >= 0x10 && model <= 0x1f', why: 'models below 0x10 were named one line above' },
  { path: 'core/evidence/nvidia/verify.ts', what: 'every for some: WITHDRAWN.some(one => one.product === identity.product && one.driver === firmware.driver)', why: 'of a list of one, every is some; a second entry makes this line stale' },
  { path: 'core/appraisal/reference/eif.ts', what: 'never refused if: image.length > EIF_LIMITS.bytes', why: 'a test would need more than a gibibyte; offsets and sizes are bounded by the same limit' },
  { path: 'core/appraisal/reference/pe.ts', what: 'never refused if: file.length > PE_LIMITS.bytes', why: 'a test would need hundreds of megabytes' },
]
