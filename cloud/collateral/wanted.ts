/**
 * A document that somebody asks for, where its vendor hands it out, and which of those filed answers the question. The
 * addresses are a table of this program: no address comes from evidence or from whoever asks.
 */
import { toBase64 } from '@cloister/core/bytes/base64'
import type { SnpProduct } from '@cloister/core/evidence/snp/report'
import { COMPONENTS, type SnpTcb } from '@cloister/core/evidence/snp/verify'
import { tcbText } from './amd.ts'
import { matching, type Entry } from './documents.ts'

export const VENDORS = ['amd', 'intel', 'nvidia'] as const
export type Vendor = typeof VENDORS[number]
export type Signer = 'vcek' | 'vlek'
export type Tee = 'tdx' | 'sgx'

export type Wanted =
  | { readonly what: 'amd-chain' | 'amd-crl'; readonly product: SnpProduct; readonly signer: Signer }
  | { readonly what: 'amd-vek'; readonly product: SnpProduct; readonly signer: Signer; readonly id?: string; readonly tcb: SnpTcb }
  | { readonly what: 'intel-tcb-info'; readonly tee: Tee; readonly fmspc: string; readonly update?: 'early' | 'standard'; readonly evaluation?: string }
  | { readonly what: 'intel-qe-identity'; readonly tee: Tee; readonly update?: 'early' | 'standard'; readonly evaluation?: string }
  | { readonly what: 'intel-pck-crl'; readonly ca: 'platform' | 'processor' }
  | { readonly what: 'intel-root-crl' }
  | { readonly what: 'nvidia-rim'; readonly id: string }
  /** `certificates`: each by its name in OCSP. `question`: the same as DER, to be sent to the responder. */
  | { readonly what: 'nvidia-ocsp'; readonly certificates: readonly string[]; readonly question: Uint8Array }

/** Which vendor hands it out. */
export function vendorOf({ what }: Wanted): Vendor {
  return VENDORS.find(one => what.startsWith(one)) ?? 'amd'
}

export const HOSTS = {
  amd: 'https://kdsintf.amd.com', intel: 'https://api.trustedservices.intel.com', intelRoot: 'https://certificates.trustedservices.intel.com',
  nvidia: 'https://rim.attestation.nvidia.com', nvidiaOcsp: 'https://ocsp.ndis.nvidia.com',
} as const

/** Where the vendor hands it out: an address of the table above, with what was read and checked put in. */
export function addressOf(wanted: Wanted): string {
  switch (wanted.what) {
    case 'amd-chain': return `${HOSTS.amd}/${wanted.signer}/v1/${wanted.product}/cert_chain`
    case 'amd-crl': return `${HOSTS.amd}/${wanted.signer}/v1/${wanted.product}/crl`
    case 'amd-vek': return `${HOSTS.amd}/${wanted.signer}/v1/${wanted.product}/${wanted.signer === 'vcek' ? wanted.id ?? '' : 'cert'}?${levels(wanted.tcb)}`
    case 'intel-tcb-info': return `${HOSTS.intel}/${wanted.tee}/certification/v4/tcb?fmspc=${wanted.fmspc.toUpperCase()}${edition(wanted, '&')}`
    case 'intel-qe-identity': return `${HOSTS.intel}/${wanted.tee}/certification/v4/qe/identity${edition(wanted, '?')}`
    case 'intel-pck-crl': return `${HOSTS.intel}/sgx/certification/v4/pckcrl?ca=${wanted.ca}&encoding=der`
    case 'intel-root-crl': return `${HOSTS.intelRoot}/IntelSGXRootCA.der`
    case 'nvidia-rim': return `${HOSTS.nvidia}/v1/rim/${wanted.id}`
    case 'nvidia-ocsp': return `${HOSTS.nvidiaOcsp}/`
  }
}

export const LEVELS: Readonly<Record<typeof COMPONENTS[number], string>> = { bl: 'blSPL', tee: 'teeSPL', snp: 'snpSPL', ucode: 'ucodeSPL', fmc: 'fmcSPL' }
const levels = (tcb: SnpTcb) => (['bl', 'tee', 'snp', 'ucode', 'fmc'] as const).flatMap(name => (tcb[name] === undefined ? [] : [`${LEVELS[name]}=${tcb[name]}`])).join('&')

const edition = ({ update, evaluation }: { readonly update?: string; readonly evaluation?: string }, before: string) => (evaluation !== undefined ? `${before}tcbEvaluationDataNumber=${evaluation}` : update === undefined ? '' : `${before}update=${update}`)

/** The command that brings a document here. */
export function commandFor(wanted: Wanted): string {
  const address = addressOf(wanted)
  if (wanted.what === 'nvidia-ocsp') return `printf %s ${toBase64(wanted.question)} | base64 -d | curl -sf -H 'content-type: application/ocsp-request' --data-binary @- -o answer.der ${address} && cloister collateral add answer.der`
  if (wanted.what === 'amd-vek' && wanted.signer === 'vlek') return 'cloister collateral add vlek.der (the provider of the machine hands it out)'
  return wanted.what === 'intel-tcb-info' || wanted.what === 'intel-qe-identity'
    ? `curl -sf -D headers.txt -o document.json '${address}' && cloister collateral add${wanted.update === 'early' ? ' --early' : ''} document.json headers.txt`
    : `curl -sf -o document '${address}' && cloister collateral add document`
}

/** All that answers, best first; with a time, only what is in force then. */
export function found(entries: readonly Entry[], wanted: Wanted, at?: number): Entry[] {
  switch (wanted.what) {
    case 'amd-chain': return matching(entries, 'amd-ca', { product: wanted.product, role: wanted.signer === 'vcek' ? 'ask' : 'asvk' }, at)
    case 'amd-crl': return matching(entries, 'amd-crl', { product: wanted.product }, at)
    case 'amd-vek': return matching(entries, 'amd-vek', { product: wanted.product, signer: wanted.signer, ...(wanted.id === undefined ? {} : { id: wanted.id }), tcb: tcbText(wanted.tcb) }, at)
    case 'intel-tcb-info': return edited(matching(entries, 'intel-tcb-info', { tee: wanted.tee, fmspc: wanted.fmspc, ...numbered(wanted) }, at), wanted)
    case 'intel-qe-identity': return edited(matching(entries, 'intel-qe-identity', { tee: wanted.tee, ...numbered(wanted) }, at), wanted)
    case 'intel-pck-crl': return matching(entries, 'intel-pck-crl', { ca: wanted.ca }, at)
    case 'intel-root-crl': return matching(entries, 'intel-root-crl', {}, at)
    case 'nvidia-rim': return matching(entries, 'nvidia-rim', { id: wanted.id }, at)
    case 'nvidia-ocsp': return matching(entries, 'nvidia-ocsp', {}, at).filter(({ about }) => wanted.certificates.every(one => about['certificates']?.split(' ').includes(one) === true))
  }
}

const numbered = ({ evaluation }: { readonly evaluation?: string }) => (evaluation === undefined ? {} : { evaluation })

/** Early updates are for whoever asks for them; for them every update counts, and the highest number wins. */
function edited(list: Entry[], { update, evaluation }: { readonly update?: string; readonly evaluation?: string }): Entry[] {
  return update === 'early' || evaluation !== undefined ? list : list.filter(one => one.about['update'] !== 'early')
}
