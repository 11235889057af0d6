/**
 * What a profile asks of a manifest beyond CoRIM itself: Arm's PSA (draft-fdb-rats-psa-endorsements) and CCA
 * (draft-ydb-rats-cca-endorsements), AMD's SEV-SNP, and the profiles that Veraison's services read (Parsec, EnactTrust, RIoT).
 * A manifest of a profile that is not here is read, but nothing becomes of it (`values.ts`). Trusts nothing.
 */
import { refuse } from '../../refusal.ts'
import type { Comid, CryptoKey, Digest, Environment, KeyTriple, Measurement, ValueTriple } from './comid.ts'
import type { Corim } from './index.ts'

export const PROFILE = {
  psa: 'tag:arm.com,2025:psa#1.0.0', ccaPlatform: 'tag:arm.com,2025:cca_platform#1.0.0', ccaRealm: 'tag:arm.com,2025:cca_realm#1.0.0', parsecCca: 'tag:github.com/parallaxsecond,2023-03-03:cca',
  parsecTpm: 'tag:github.com/parallaxsecond,2023-03-03:tpm', snp: 'tag:amd.com,2024:snp-corim-profile', ark: 'https://amd.com/ark', enactTrust: 'https://enacttrust.com/veraison/1.0.0', riot: 'tag:veraison-project.com,2026:riot',
} as const

interface Rules { reference(triple: ValueTriple, at: string): void; key(triple: KeyTriple, at: string): void }

/** Leaves with `corim.profile` when a module of the manifest is not as its profile says. */
export function checkProfile(corim: Corim): void {
  const rules = corim.profile === undefined ? undefined : RULES.get(corim.profile)
  if (rules === undefined) return
  for (const [i, tag] of corim.tags.entries()) if (tag.kind === 'comid') checkModule(tag, rules, `tags[${i}]`)
}

function checkModule({ triples }: Comid, rules: Rules, at: string): void {
  if (triples.reference.length === 0 && triples.attestKeys.length === 0) bad(at, 'reference values or keys', 'neither')
  for (const [i, triple] of triples.reference.entries()) rules.reference(triple, `${at}.reference[${i}]`)
  for (const [i, triple] of triples.attestKeys.entries()) rules.key(triple, `${at}.keys[${i}]`)
}

const bad = (at: string, expected: string, got: string): never => refuse('corim.profile', at, expected, got)
const HASH_BYTES = [32, 48, 64]
const hashSized = (hex: string) => HASH_BYTES.includes(hex.length / 2)

// ---- what several profiles ask for

/** The implementation: 32 bytes as the class. */
function implementation({ class: { id } = NO_CLASS }: Environment, at: string): void {
  if (id?.type !== 'bytes' || id.value.length !== 64) bad(`${at}.class-id`, '32 bytes (implementation)', id === undefined ? 'none' : `${id.type} ${id.value}`)
}
/** One device: a UEID of 33 bytes that begins with 01 (random). */
function device({ instance }: Environment, at: string): void {
  if (instance?.type !== 'ueid' || instance.value.length !== 66 || !instance.value.startsWith('01')) bad(`${at}.instance`, 'a UEID of 33 bytes of type 01', instance === undefined ? 'none' : `${instance.type} ${instance.value}`)
}
function noDevice({ instance, group }: Environment, at: string): void {
  if (instance !== undefined || group !== undefined) bad(at, 'values for every device of a class', 'an instance or group')
}
function oneKey(keys: readonly CryptoKey[], at: string, types: readonly CryptoKey['type'][]): void {
  if (keys.length !== 1) bad(`${at}.key-list`, 'one key', `${keys.length}`)
  keysOf(keys, at, types)
}
function keysOf(keys: readonly CryptoKey[], at: string, types: readonly CryptoKey['type'][]): void {
  const other = keys.find(key => !types.includes(key.type))
  if (other !== undefined) bad(`${at}.key-list`, types.join(' or '), other.type)
}
/** Who signed a component: one hash of a key. */
function signerId({ values }: Measurement, at: string): void {
  const [signer, more] = values.keys ?? []
  if (signer?.type !== 'bytes' || !hashSized(signer.value) || more !== undefined) bad(`${at}.cryptokeys`, 'one signer: 32, 48 or 64 bytes', signer === undefined ? 'none' : signer.type)
}
function digestsOf({ values }: Measurement, at: string): readonly Digest[] {
  const wrong = values.digests?.find(digest => !hashSized(digest.hex))
  if (wrong !== undefined) bad(`${at}.digests`, '32, 48 or 64 bytes', `${wrong.hex.length / 2} bytes`)
  return values.digests ?? bad(`${at}.digests`, 'a digest', 'none')
}
const NO_CLASS = { id: undefined, vendor: undefined, model: undefined, layer: undefined, index: undefined }
const each = (triple: ValueTriple, at: string, check: (one: Measurement, at: string) => void) => triple.measurements.forEach((one, i) => check(one, `${at}[${i}]`))
const CERTIFICATES = ['pkix-cert', 'pkix-cert-path'] as const

// ---- profiles

const psa: Rules = {
  reference: (triple, at) => {
    implementation(triple.environment, at)
    noDevice(triple.environment, at)
    each(triple, at, (one, where) => {
      if (one.key !== 'psa.software-component') bad(`${where}.mkey`, 'psa.software-component', named(one))
      digestsOf(one, where)
      signerId(one, where)
    })
  },
  key: deviceKey,
}

function deviceKey(triple: KeyTriple, at: string): void {
  implementation(triple.environment, at)
  device(triple.environment, at)
  oneKey(triple.keys, at, ['pkix-key'])
}

const ccaPlatform: Rules = {
  reference: (triple, at) => {
    implementation(triple.environment, at)
    noDevice(triple.environment, at)
    each(triple, at, ccaComponent)
    const count = (key: string) => triple.measurements.filter(one => one.key === key).length
    if (count('cca.software-component') === 0 || count('cca.platform-config') > 1) bad(at, 'software components and at most one configuration', 'another number')
  },
  key: deviceKey,
}

function ccaComponent(one: Measurement, at: string): void {
  if (one.key === 'cca.platform-config') {
    if (one.values.raw?.mask === undefined) bad(`${at}.raw-value`, 'a value and its mask', 'none')
    return
  }
  if (one.key !== 'cca.software-component') bad(`${at}.mkey`, 'cca.software-component or cca.platform-config', named(one))
  digestsOf(one, at)
  signerId(one, at)
  if (one.values.version?.scheme !== undefined) bad(`${at}.version-scheme`, 'none', String(one.values.version.scheme))
}

const ccaRealm: Rules = {
  reference: (triple, at) => {
    const { class: { id } = NO_CLASS } = triple.environment
    if (id?.type !== 'bytes' || !hashSized(id.value)) bad(`${at}.class-id`, 'the initial measurement: 32, 48 or 64 bytes', id === undefined ? 'none' : `${id.type} ${id.value}`)
    each(triple, at, realmMeasurement)
    if (!triple.measurements.some(one => one.key === 'cca.rim')) bad(at, 'cca.rim', 'none')
  },
  key: (_, at) => bad(at, 'no keys', 'a key'),
}

function realmMeasurement(one: Measurement, at: string): void {
  if (one.key === 'cca.rpv') {
    if (one.values.raw === undefined) bad(`${at}.raw-value`, 'the personalization value', 'none')
    return
  }
  if (typeof one.key !== 'string' || !/^cca\.(rim|rem[0-3])$/.test(one.key)) bad(`${at}.mkey`, 'cca.rim, cca.rem0 to cca.rem3 or cca.rpv', named(one))
  if (digestsOf(one, at).length !== 1) bad(`${at}.digests`, 'one digest', String(one.values.digests?.length))
}

const parsecTpm: Rules = {
  reference: (triple, at) => {
    uuidClass(triple.environment, at)
    noDevice(triple.environment, at)
    each(triple, at, (one, where) => {
      if (typeof one.key !== 'number') bad(`${where}.mkey`, 'the number of a PCR', named(one))
      if (one.values.digests === undefined) bad(`${where}.digests`, 'a digest', 'none')
    })
  },
  key: (triple, at) => {
    uuidClass(triple.environment, at)
    if (triple.environment.instance?.type !== 'bytes' || triple.environment.group !== undefined) bad(`${at}.instance`, 'bytes, and no group', triple.environment.instance?.type ?? 'none')
    oneKey(triple.keys, at, ['pkix-key'])
  },
}
function uuidClass({ class: { id } = NO_CLASS }: Environment, at: string): void {
  if (id?.type !== 'uuid') bad(`${at}.class-id`, 'a UUID', id?.type ?? 'none')
}

const enactTrust: Rules = {
  reference: (triple, at) => {
    oneMachine(triple.environment, at)
    const [first, second] = triple.measurements
    if (second !== undefined || first?.values.digests?.length !== 1) bad(at, 'one measurement with one digest', `${triple.measurements.length} measurements`)
  },
  key: (triple, at) => {
    oneMachine(triple.environment, at)
    oneKey(triple.keys, at, ['pkix-key'])
  },
}
function oneMachine({ class: model, instance, group }: Environment, at: string): void {
  if (model !== undefined || group !== undefined || instance?.type !== 'uuid') bad(at, 'an instance named by a UUID and nothing else', instance?.type ?? 'none')
}

const snp: Rules = {
  reference: (triple, at) => {
    const { class: { id } = NO_CLASS, instance } = triple.environment
    if (id?.type !== 'oid' || instance?.type !== 'bytes') bad(at, 'a class named by an OID and an instance of bytes', `${id?.type ?? 'none'}, ${instance?.type ?? 'none'}`)
    each(triple, at, (one, where) => {
      if (typeof one.key !== 'number') bad(`${where}.mkey`, 'the number of a field', named(one))
    })
  },
  key: (triple, at) => {
    const { class: { vendor, model } = NO_CLASS } = triple.environment
    if (vendor === undefined || model === undefined) bad(`${at}.class`, 'vendor and model', `${vendor ?? 'none'}, ${model ?? 'none'}`)
    keysOf(triple.keys, at, CERTIFICATES)
  },
}

const riot: Rules = {
  reference: (_, at) => bad(at, 'no reference values', 'one'),
  key: (triple, at) => {
    const { class: { vendor, model } = NO_CLASS } = triple.environment
    if (vendor !== 'Veraison Project' || model !== 'RIOT') bad(`${at}.class`, 'Veraison Project, RIOT', `${vendor ?? 'none'}, ${model ?? 'none'}`)
    keysOf(triple.keys, at, CERTIFICATES)
  },
}

const RULES: ReadonlyMap<string, Rules> = new Map([[PROFILE.psa, psa], [PROFILE.ccaPlatform, ccaPlatform], [PROFILE.parsecCca, ccaPlatform], [PROFILE.ccaRealm, ccaRealm], [PROFILE.parsecTpm, parsecTpm], [PROFILE.snp, snp], [PROFILE.ark, snp], [PROFILE.enactTrust, enactTrust], [PROFILE.riot, riot]])
const named = (one: Measurement) => (one.key === undefined ? 'none' : typeof one.key === 'object' ? one.key.type : String(one.key))
