/** Targets of machine images: firmware for SNP and TDX, unified kernel images, enclave images, with their numbers. */
import { eifRegisters, readEif } from '@cloister/core/appraisal/reference/eif'
import { readSnpFirmware } from '@cloister/core/appraisal/reference/snp'
import { readTdvf, tdxMrtd } from '@cloister/core/appraisal/reference/tdx'
import { predictUki, SECURE_BOOT_OFF } from '@cloister/core/appraisal/reference/tpm'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { eifOf } from '../../core/appraisal/reference/eif.fixture.ts'
import { snpImage, tdxImage } from '../../core/appraisal/reference/firmware.fixture.ts'
import { section, ukiOf } from '../../core/appraisal/reference/pe.fixture.ts'
import { changeBytes } from '../bytes.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'

const changed = (images: readonly Uint8Array[]) => (draw: Draw): Uint8Array => (draw.oneIn(20) ? draw.pick(images) : changeBytes(draw, draw.pick(images)))
const eifs = [eifOf(), eifOf({ metadata: '{}', ramdisks: ['init'] })]

export const targets: readonly Target[] = [
  { name: 'image-snp', draw: changed([snpImage()]), judge: input => orRefuse(readSnpFirmware(p, input)) },
  { name: 'image-tdx', draw: changed([tdxImage()]), judge: input => tdxMrtd(p, orRefuse(readTdvf(input)), 'two-pass') },
  { name: 'image-uki', draw: changed([ukiOf(), ukiOf('252.39-1~deb12u1'), ukiOf('257.13-1', [section('.pcrpkey', 'key')])]), judge: input => orRefuse(predictUki(p, { uki: input, secureBoot: SECURE_BOOT_OFF })) },
  { name: 'image-eif', draw: changed(eifs), judge: input => eifRegisters(p, orRefuse(readEif(input))) },
]
