/** The judge of each family of cases; a family that is not here is unsupported, never passed. */
import { judge as azure } from './azure.ts'
import { judge as cca } from './cca.ts'
import { judge as corim } from './corim.ts'
import { judge as dcap } from './dcap.ts'
import { judge as eventlog, type Case, type Judgement, type Read } from './eventlog.ts'
import { judge as nitro } from './nitro.ts'
import { judge as nvidia } from './nvidia.ts'
import { judge as snp } from './snp.ts'
import { judge as tokens } from './tokens.ts'
import { judge as tpm } from './tpm.ts'

export const JUDGES: Readonly<Record<string, (one: Case, read: Read) => Judgement>> = {
  'sev-snp': snp, tdx: dcap, sgx: dcap, nitro, 'arm-cca': cca, eventlog, tpm, 'azure-vtpm': azure, nvidia, corim, tokens, ear: tokens,
}
