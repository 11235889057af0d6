/**
 * The extension of a PCK certificate (Intel SGX PCK Certificate and CRL Profile, section 1.3.5): which platform it is for
 * and which security versions Intel certified. Trusts nothing: the certificate is judged elsewhere.
 */
import { booleanOf, children, contentOf, type Der, oidOf, readDer, smallInteger, TAG } from '../../bytes/der.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Certificate } from '../../crypto/x509.ts'
import { refuse } from '../../refusal.ts'

/** Bytes as hex. The 16 security versions are those of the platform's TCB components. */
export interface PckExtension {
  readonly ppid: string
  readonly svns: readonly number[]
  readonly pceSvn: number
  readonly cpuSvn: string
  readonly pceId: string
  readonly fmspc: string
  /** Platform instance id: multi-package platforms only. */
  readonly piid?: string
  /** Flags of the configuration, multi-package platforms only: 7.1 dynamic platform, 7.2 cached keys, 7.3 SMT enabled. */
  readonly configuration?: Readonly<Record<string, boolean>>
}

const SGX = '1.2.840.113741.1.13.1'
const COMPONENTS = 16

/** Leaves with `evidence.parse` or `der.*`. */
export function readPck(certificate: Certificate): PckExtension {
  const extension = certificate.extensions.get(SGX)
  if (extension === undefined) return refuse('evidence.parse', 'pck.extensions', `the extension ${SGX}`, 'none')
  const fields = entries(readDer(extension.value, 'pck.extension'))
  const bytes = (arc: string, length: number) => {
    const content = contentOf(needed(fields, arc), TAG.octetString, `pck.${arc}`)
    return content.length === length ? toHex(content) : refuse('evidence.parse', `pck.${arc}`, `${length} bytes`, String(content.length))
  }
  const tcb = entries(needed(fields, '2'))
  const cpuSvn = contentOf(needed(tcb, '2.18'), TAG.octetString, 'pck.cpusvn')
  return {
    ppid: bytes('1', 16), pceId: bytes('3', 2), fmspc: bytes('4', 6), ...(fields.has('6') ? { piid: bytes('6', 16) } : {}),
    svns: Array.from({ length: COMPONENTS }, (_, i) => smallInteger(needed(tcb, `2.${i + 1}`), `pck.2.${i + 1}`)),
    pceSvn: smallInteger(needed(tcb, '2.17'), 'pck.pcesvn'), cpuSvn: toHex(cpuSvn),
    ...(fields.has('7') ? { configuration: Object.fromEntries([...entries(needed(fields, '7'))].map(([arc, flag]) => [arc, booleanOf(flag)])) } : {}),
  }
}

/** Pairs of identifier and value, each once, by what follows the identifier of the whole extension. */
function entries(list: Der): Map<string, Der> {
  const out = new Map<string, Der>()
  for (const entry of children(list)) {
    const [oid, value, more] = children(entry)
    const dotted = oidOf(oid, 'pck.extension')
    if (value === undefined || more !== undefined || !dotted.startsWith(`${SGX}.`)) return refuse('evidence.parse', 'pck.extension', 'pairs of identifier and value', dotted)
    const arc = dotted.slice(SGX.length + 1)
    if (out.has(arc)) refuse('evidence.parse', `pck.${arc}`, 'each field once', 'twice')
    out.set(arc, value)
  }
  return out
}

function needed(fields: ReadonlyMap<string, Der>, arc: string): Der {
  return fields.get(arc) ?? refuse('evidence.parse', `pck.${arc}`, 'a value', 'none')
}
