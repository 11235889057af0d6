/** How the vectors of TDX run: synthetic evidence, complete but for what the input changes. */
import { evidenceOf, NOW, pckExtension, root } from '@cloister/core/evidence/dcap/dcap.fixture'
import { verifyDcap } from '@cloister/core/evidence/dcap/verify'
import { attempt, type Result } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  /** { svn }: of every component of the platform; { fmspc }: of the TCB info; { revoked }: the PCK certificate. */
  'dcap.verify': input => attempt(() => {
    const { svn, fmspc, revoked } = input as { svn?: number; fmspc?: string; revoked?: boolean }
    return verifyDcap(p, evidenceOf({
      ...(svn === undefined ? {} : { pckExtension: pckExtension(Array.from({ length: 16 }, () => svn)) }),
      ...(fmspc === undefined ? {} : { tcbInfo: json => { json['fmspc'] = fmspc } }), ...(revoked === true ? { revoked: { pck: [7] } } : {}),
    }), { now: NOW }, root)
  }),
}
