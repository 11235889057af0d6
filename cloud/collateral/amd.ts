/**
 * AMD's documents for SEV-SNP: the authorities under each product's root (ASK, ASVK), the keys of chips and providers
 * (VCEK, VLEK) and the root's revocation list (AMD 57230). The product is that of the root that matched, not what a
 * document says. Trusts: the port and the roots handed in.
 */
import { equal } from '@cloister/core/bytes/bytes'
import { readDer } from '@cloister/core/bytes/der'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8 } from '@cloister/core/bytes/text'
import type { Certificate, RevocationList } from '@cloister/core/crypto/x509'
import type { SnpProduct } from '@cloister/core/evidence/snp/report'
import { certificateTcb, COMPONENTS, VEK_OID, type RootSet, type SnpTcb } from '@cloister/core/evidence/snp/verify'
import { attempt, orRefuse, refuse } from '@cloister/core/refusal'
import { chainSometime, checkList, type Context } from './chains.ts'
import type { Document } from './documents.ts'

/** Is this a VCEK or VLEK, or a certificate that one of the product roots issued? */
export const isAmd = ({ roots }: Context, one: Certificate): boolean => one.extensions.has(VEK_OID.product) || roots.amd.some(({ ark }) => equal(one.issuer, ark.subject))

/** Leaves with `x509.*` or `evidence.*` unless it chains to one of AMD's roots; undefined for what is pinned anyway. */
export function amdCertificate(context: Context, one: Certificate): Document | undefined {
  const { roots: { amd } } = context
  if (amd.some(set => [set.ark, ...set.intermediates].some(pinned => equal(pinned.der, one.der)))) return undefined
  const tried = amd.map(set => ({ set, held: attempt(() => chainSometime({ ...context, certificates: [...set.intermediates, ...context.certificates] }, one, [set.ark])) }))
  const found = tried.find(({ held }) => held.ok)
  // The line whose names fit tells best why the chain does not hold.
  const nearest = tried.find(({ set }) => [set.ark, ...set.intermediates].some(known => equal(known.subject, one.issuer))) ?? tried[0]
  if (found === undefined) return orRefuse(nearest?.held.ok === false ? nearest.held : refuse('evidence.chain', 'certificate', 'a root of AMD', 'none'))
  const { product } = found.set
  const window = { notBefore: one.notBefore, notAfter: one.notAfter, bytes: one.der }
  if (one.ca) return { kind: 'amd-ca', about: { product, name: one.subjectCommonName, role: one.subjectCommonName.includes('VLEK') ? 'asvk' : 'ask' }, ...window }
  return { kind: 'amd-vek', about: { product, ...holderOf(one), tcb: tcbText(certificateTcb(one, product)) }, ...window }
}

function holderOf(one: Certificate): { signer: string; id: string } {
  const [chip, provider] = [one.extensions.get(VEK_OID.hwId), one.extensions.get(VEK_OID.csp)]
  if (chip !== undefined && provider === undefined) return { signer: 'vcek', id: toHex(chip.value) }
  if (provider !== undefined && chip === undefined) return { signer: 'vlek', id: fromUtf8(readDer(provider.value, 'vlek.csp').content, 'vlek.csp') }
  return refuse('evidence.signer', 'certificate', 'a chip (VCEK) or a provider (VLEK)', chip === undefined ? 'neither' : 'both')
}

/** Patch levels as one text, by which a key is looked up: `bl=4 tee=0 snp=24 ucode=219`; on Turin `fmc=1` before. */
export const tcbText = (tcb: SnpTcb): string => COMPONENTS.flatMap(name => (tcb[name] === undefined ? [] : [`${name}=${tcb[name]}`])).join(' ')

/** A chip's identity as its certificate carries it: Turin has 8 bytes of the report's 64. */
export const chipText = (product: SnpProduct, chipId: string): string => (product === 'Turin' && /^0*$/.test(chipId.slice(16)) ? chipId.slice(0, 16) : chipId)

/** Undefined when the list is of another issuer. Leaves with `crl.*`. */
export function amdList({ p, roots }: Context, list: RevocationList): Document | undefined {
  const set: RootSet | undefined = roots.amd.find(({ ark }) => equal(ark.subject, list.issuer))
  if (set === undefined) return undefined
  checkList(p, list, set.ark)
  return { kind: 'amd-crl', about: { product: set.product }, notBefore: list.thisUpdate, notAfter: list.nextUpdate, bytes: list.der }
}
