/**
 * Verified evidence in words: who vouches for whom, from the root to what was launched; what is thereby proven; and what is
 * not, because no verdict says more than it knows. Trusts the claims, which are built from verified bytes only.
 */
import type { BootFacts } from './eventlog/replay.ts'
import type { Claims, Facts } from './claims.ts'

/** One step of the chain: who it is, and what they vouch for. */
export interface Link { readonly who: string; readonly says: string }
export interface Explanation {
  readonly chain: readonly Link[]
  readonly proven: readonly string[]
  readonly notProven: readonly string[]
  /** Of a machine of several parts: each further part. */
  readonly devices: readonly Explanation[]
}

/** What the caller has compared beside the evidence itself: what it was not asked about stays unproven. */
export interface Compared { readonly nonce?: boolean; readonly reference?: string }

/** Does the evidence answer to a nonce (hex)? One shorter than its field is followed by zeros, as machines take it. */
export function answersTo({ reportData, facts }: Claims, nonce: string): boolean {
  const fields = [reportData, ...(facts.kind === 'nitro' ? [facts.nonce] : facts.kind === 'token' ? facts.nonces : [])]
  return nonce !== '' && fields.some(found => found !== '' && found === nonce.toLowerCase().padEnd(found.length, '0'))
}

/**
 * The explanation of claims.
 *
 * @example
 * explain(claims, {}).chain[0] // → { who: 'AMD\'s root key for Genoa, pinned here', says: 'vouches for AMD\'s key for chips of this line' }
 */
export function explain(claims: Claims, compared: Compared = {}): Explanation {
  return {
    chain: [...chainOf(claims), { who: 'So the machine', says: launchedOf(claims) }],
    proven: provenBy(claims, compared), notProven: notProvenBy(claims, compared),
    devices: (claims.devices ?? []).map(device => explain(device, compared.nonce === undefined ? {} : { nonce: compared.nonce })),
  }
}

/** The same as lines of text. */
export function toLines({ chain, proven, notProven, devices }: Explanation): string[] {
  const mark = (sign: string, list: readonly string[]) => list.map(one => `  ${sign} ${one}`)
  return [
    'Who vouches for whom:', ...chain.map(({ who, says }, i) => `  ${i + 1}. ${who} ${says}.`), 'Proven:', ...mark('✔', proven), 'Not proven:', ...mark('·', notProven),
    ...devices.flatMap((device, i) => ['', `Device ${i + 1}:`, ...toLines(device).map(line => `  ${line}`)]),
  ]
}

const cut = (hex: string) => (hex.length > 20 ? `${hex.slice(0, 16)}…` : hex || 'none')
const when = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
/** Seconds since 1970 that no certificate reaches: a key that was named without an end. */
const NO_END = 1e12

function launchedOf({ measurement, hostData, reportData, tee }: Claims): string {
  const bound = reportData === '' ? 'bound nothing to it' : `bound ${cut(reportData)} to this answer`
  const host = /^0*$/.test(hostData) ? '' : ` with host data ${cut(hostData)}`
  return tee === 'nvidia' ? `runs firmware with the measurement ${cut(measurement)}, and ${bound}` : `launched ${cut(measurement)}${host}, and ${bound}`
}

// ---- who vouches

function chainOf(claims: Claims): Link[] {
  const { facts, product, simulated, chipId } = claims
  switch (facts.kind) {
    case 'snp': return snpChain(claims, facts)
    case 'dcap': return dcapChain(facts)
    case 'nitro': return [
      { who: 'AWS\'s root for Nitro Enclaves, pinned here', says: 'vouches through its zones for the hypervisor of one host' },
      { who: 'That hypervisor', says: `signed the document of the enclave ${facts.moduleId} at ${when(Math.floor(facts.timestampMs / 1000))}` },
    ]
    case 'tpm': return [
      facts.akTrust === 'chain' ? { who: `The root of ${product}${simulated ? ', SIMULATED' : ''}, pinned here`, says: `vouches for the attestation key of this TPM${facts.instance === undefined ? '' : `, in the instance ${facts.instance.instanceName}`}` } : { who: 'You', says: `named this attestation key (${cut(facts.akName)})` },
      { who: 'The attestation key', says: `signed the registers of bank ${facts.bank}` }, ...bootLinks(facts.boot),
    ]
    case 'azure': return [
      ...(facts.hardware.facts === undefined ? [] : chainOf({ ...claims, facts: facts.hardware.facts, signer: 'vcek' })),
      { who: 'The processor', says: 'signed over Azure\'s paravisor and the attestation key of its TPM' }, { who: 'The paravisor\'s TPM', says: `signed the registers of bank ${facts.bank}` }, ...bootLinks(facts.boot),
    ]
    case 'nvidia': return [
      { who: 'NVIDIA\'s root for devices, pinned here', says: `vouches for this ${facts.device} (${product}, ${cut(chipId)})` },
      { who: `The ${facts.device}`, says: 'made a key for the firmware it booted, and signed its measurements with it' },
      ...(facts.reference.length === 0 ? [] : [{ who: 'NVIDIA\'s root for reference values, pinned here', says: `vouches for the manifests that ${facts.referenceComplete ? 'all' : 'some'} of these measurements match` }]),
    ]
    case 'cca': return [
      { who: 'You', says: `named the key of this platform (${cut(facts.instanceId)})` }, { who: 'The platform', says: `says that it is ${facts.state} and vouches for the key of its realm manager` }, { who: 'The realm manager', says: 'signed what the realm was launched as' },
    ]
    case 'token': return [{ who: 'You', says: `named the verifier ${facts.verifier}, with its keys` }, { who: `The verifier ${facts.verifier}`, says: `signed that it judged a machine (${product || 'of a kind that it does not name'})${facts.status === '' ? '' : ` and found it ${facts.status}`}` }]
  }
}

function snpChain({ product, simulated, signer, chipId }: Claims, { tcb }: Extract<Facts, { kind: 'snp' }>): Link[] {
  const maker = simulated ? 'The SIMULATED root, which is public,' : `AMD's root key for ${product}, pinned here,`
  const levels = Object.entries(tcb.reported).map(([name, level]) => `${name} ${level}`).join(', ')
  const key = signer === 'vlek' ? 'the key that AMD gave a cloud provider for its machines' : `the key of one chip (${cut(chipId)})`
  return [{ who: maker, says: `vouches for ${simulated ? 'anybody\'s' : 'AMD\'s'} key for chips of this line` }, { who: 'That key', says: `vouches for ${key} at the patch levels ${levels}` }, { who: signer === 'vlek' ? 'The provider\'s key' : 'The chip', says: 'signed this report' }]
}

function dcapChain({ pckAuthority, fmspc, evaluation, status }: Extract<Facts, { kind: 'dcap' }>): Link[] {
  return [
    { who: 'Intel\'s root, pinned here', says: `vouches through ${pckAuthority} for the key of one platform (of the family ${fmspc})` }, { who: 'That key', says: 'vouches for the quoting enclave on the platform, which vouches for its attestation key' },
    { who: 'The attestation key', says: 'signed this quote' }, { who: 'Intel\'s root', says: `vouches for the patch levels that Intel names in its data sets ${evaluation.tcb} and ${evaluation.qe}, by which the platform is ${status}` },
  ]
}

const bootLinks = (boot: BootFacts | undefined): Link[] => (boot === undefined ? [] : [{ who: 'The event log', says: `replays to these registers: secure boot is ${boot.secureBoot === true ? 'on' : boot.secureBoot === false ? 'off' : 'not recorded'}` }])

// ---- what follows, and what does not

function provenBy(claims: Claims, { nonce, reference }: Compared): string[] {
  const { debug, migration, revocation, validity, registers, events } = claims
  return [
    believed(claims), ...(validity.notAfter < NO_END ? [`all certificates and documents are valid from ${when(validity.notBefore)} to ${when(validity.notAfter)}`] : []),
    ...(debug ? [] : ['nobody debugs it']), ...(migration ? [] : ['nobody may move it to another machine']), ...(revocation ? ['nothing of it was revoked by the maker\'s lists of that time'] : []),
    ...(nonce === true ? ['it answers to your nonce'] : []), ...(reference === undefined ? [] : [`what was launched is ${reference}`]),
    ...(Object.keys(registers).length === 0 ? [] : [`the registers ${Object.keys(registers).join(', ')}`]), ...(events === undefined ? [] : [`${events.length} events of the boot`]),
  ]
}

function believed({ simulated, facts }: Claims): string {
  if (simulated) return 'every signature holds up to the SIMULATED root'
  if (facts.kind === 'token') return `the word of ${facts.verifier}, unaltered`
  const named = facts.kind === 'cca' || (facts.kind === 'tpm' && facts.akTrust !== 'chain')
  return named ? 'every signature holds up to the key that you named' : 'every signature and certificate holds up to a pinned root'
}

function notProvenBy({ debug, migration, revocation, simulated, facts, issuedAt }: Claims, { nonce, reference }: Compared): string[] {
  return [
    ...(simulated ? ['that there is any hardware: SIMULATED, anybody can make this'] : []), ...(debug ? ['that nobody reads its memory: DEBUGGING is on, or nobody says that it is off'] : []), ...(migration ? ['that it stays where it is: it may be MOVED to another machine, or nobody says that it may not'] : []),
    ...(facts.kind === 'token' ? ['anything by the machine\'s own evidence: only the verifier saw it'] : []),
    ...(facts.kind === 'dcap' && facts.status !== 'UpToDate' ? [`that it is up to date: Intel calls it ${facts.status}${facts.advisories.length === 0 ? '' : ` (${facts.advisories.join(', ')})`}`] : []),
    ...(facts.kind === 'nvidia' && !facts.referenceComplete ? ['that its firmware is NVIDIA\'s and current: no manifests came with it'] : []),
    ...(revocation ? [] : ['that no key was revoked: no revocation list came with it']),
    ...(nonce === true ? [] : [`that it is fresh: it was compared with no nonce${issuedAt === undefined ? '' : ` (it says ${when(issuedAt)})`}`]), ...(reference === undefined ? ['what was launched: no reference value was compared'] : []),
    ...('uncovered' in facts && facts.uncovered !== undefined && facts.uncovered.length > 0 ? [`which events made the registers ${facts.uncovered.join(', ')}: the log does not cover them`] : []),
    'where the machine stands, and that nobody tampers with it physically',
  ]
}
