/**
 * The six nouns as they stand in a charter's normal form (defaults dropped, sets sorted, durations in the largest unit).
 * A `Charter` value exists only as the result of `parseCharter`: nobody else may build one. Trusts nothing.
 */
export type Name = string // ^[a-z][a-z0-9-]{0,31}$
export type Hash = `sha256:${string}` // 64 lower-case hex digits
export type Duration = string // integer and one of s, m, h, d
export type Tee = 'snp' | 'tdx' | 'sgx' | 'nitro' | 'cca' | 'azure-snp' | 'azure-tdx' | 'tpm' | 'simulated' | 'sample'

export interface Quorum { of: Name[]; need: number }
export interface Party {
  keys: string[] // `ed25519:<hex>`, `p256:`, `ml-dsa-44:`, `ml-dsa-65:`, `webauthn-p256:<rp id>:<hex>`, `webauthn-ed25519:<rp id>:<hex>`: raw public keys (keys.ts)
  need?: number
  seal?: string[] // age recipients for outputs sent to this party
}
export type Run = { sql: Hash } | { wasm: Hash } | { js: Hash } | { process: Hash } | { image: string } | { vm: Hash }
export interface Program {
  run: Run
  config?: Record<string, string>
  on: { tee: Tee[]; tcb?: 'any'; gpu?: string[]; where?: string[] } // tcb absent = current
  net?: { listen?: number[]; reach?: string[] }
}
export interface Asset {
  owner: Name
  kind: 'data' | 'model' | 'key' | 'credential' | 'disk'
  at?: string
  digest?: Hash
  person?: string
  ttl?: Duration
}
export interface Output {
  to: string[] // party names, `*`, `caller`
  shape: 'rows' | 'aggregate' | 'scalar' | 'stream' | 'bytes'
  about?: 'own'
  atLeast?: number
  epsilon?: number // a multiple of 0.000001
  rate?: number
}
export interface Budget { uses?: number; bytes?: number; epsilon?: number; per?: Duration }
export interface Grant {
  asset: Name
  to: Name
  can: 'read' | 'write' | 'use'
  as?: string
  until?: string
  needs?: string[]
  budget?: Budget
  out?: Output[]
}
export interface Charter {
  charter: 1
  name: Name
  epoch: number
  prev?: Hash
  parties: Record<Name, Party>
  programs: Record<Name, Program>
  assets: Record<Name, Asset>
  grants: Grant[]
  change: { widen: Quorum & { notice: Duration }; emergency?: Quorum & { lasts: Duration } }
  recover?: Quorum
  log: { at: string; witnesses: number; head: Duration }
}
