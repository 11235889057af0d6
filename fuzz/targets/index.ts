/** Every target there is. A new format adds its file here. */
import type { Target } from '../target.ts'
import { targets as bundle } from './bundle.ts'
import { targets as bytes } from './bytes.ts'
import { targets as cbor } from './cbor.ts'
import { targets as corim } from './corim.ts'
import { targets as dcap } from './dcap.ts'
import { targets as documents } from './documents.ts'
import { targets as eventlog } from './eventlog.ts'
import { targets as evidence } from './evidence.ts'
import { targets as files } from './files.ts'
import { targets as images } from './images.ts'
import { targets as kinds } from './kinds.ts'
import { targets as machines } from './machines.ts'
import { targets as nvidia } from './nvidia.ts'
import { targets as results } from './results.ts'
import { targets as tokens } from './tokens.ts'

export const targets: readonly Target[] = [...bundle, ...bytes, ...cbor, ...corim, ...dcap, ...documents, ...evidence, ...eventlog, ...files, ...images, ...kinds, ...machines, ...nvidia, ...results, ...tokens]
