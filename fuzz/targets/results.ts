/** Targets of result tokens: claim sets of each form as their readers see them once a signature held, and NVIDIA's sets of tokens. */
import { toHex } from '@cloister/core/bytes/hex'
import { jcs } from '@cloister/core/bytes/jcs'
import { parseJsonObject, type JsonObject } from '@cloister/core/bytes/json'
import { utf8 } from '@cloister/core/bytes/text'
import { readNras } from '@cloister/core/evidence/result/nras'
import { readStatements, readToken, verifyToken, type Form } from '@cloister/core/evidence/result/token'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { EAR, GPU, INTEL, INTEL_SGX, MAA_SGX, MAA_SNP, MAA_TDX, NOW, nrasOf, signed, SPACE, verifierOf } from '../../core/evidence/result/result.fixture.ts'
import { evidenceTargets } from '../signed.ts'
import type { Target } from '../target.ts'
import { changeJson } from '../texts.ts'

const CLAIMS: Readonly<Record<Exclude<Form, 'nras'>, readonly JsonObject[]>> = { ear: [EAR], maa: [MAA_SNP, MAA_TDX, MAA_SGX], 'confidential-space': [SPACE], ita: [INTEL, INTEL_SGX] }
const FORMS = ['ear', 'maa', 'confidential-space', 'ita'] as const
const device = signed(GPU)
const nras: JsonObject = { 'x-nvidia-overall-att-result': true, eat_nonce: GPU.eat_nonce, submods: { g: ['DIGEST', ['SHA-256', toHex(p.hash('sha256', utf8(device)))]] } }
const verifiers = FORMS.map(form => verifierOf(form)).concat(verifierOf('nras'))

export const targets: readonly Target[] = [
  ...FORMS.map((form): Target => ({ name: `result-${form}`, draw: draw => utf8(changeJson(draw, jcs(draw.pick(CLAIMS[form])))), judge: input => readStatements(form, parseJsonObject(input)) })),
  { name: 'result-nras', draw: draw => utf8(changeJson(draw, jcs(draw.oneIn(2) ? nras : GPU))), judge: input => { const json = parseJsonObject(input); return 'submods' in json ? readNras(p, json, { g: device }, () => GPU) : readNras(p, nras, { g: device }, () => json) } },
  ...evidenceTargets({
    name: 'token', valid: [{ kind: 'token', token: signed(INTEL) }, { kind: 'token', token: nrasOf({ g: device }), detached: { g: device } }],
    judge: (port, json) => verifyToken(port, readToken(json), { now: NOW, verifiers }), same: json => [json['token'] ?? '', json['detached'] ?? ''],
  }),
]
