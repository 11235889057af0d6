/**
 * SEV-SNP reports judged per second with a known chain, against the raw P-384 verification that each needs at least, in
 * one run and one process. The last line is the ratio; the aim is 0.7.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { parseCertificate } from '@cloister/core/crypto/x509'
import { verifyEvidence, type VerifyOptions } from '@cloister/core/evidence/index'
import { parseReport } from '@cloister/core/evidence/snp/report'
import { orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'
import { openSimulatedChip } from '../cloud/guest/attesters/simulated.ts'

const now = 1_790_000_000
const quick = process.argv.includes('--quick')
const seconds = quick ? 1 : 4
const chip = openSimulatedChip(now)
const reports = Array.from({ length: 64 }, (_, i) => chip.report({ measurement: new Uint8Array(48).fill(i), hostData: new Uint8Array(32) }, new Uint8Array(64).fill(i)))
const leaf = orRefuse(parseCertificate(fromBase64(reports[0]?.certificates[0] ?? '')))
const cache: NonNullable<VerifyOptions['cache']> = new Map()
const parsed = reports.map(one => parseReport(fromBase64(one.report)))

/** Rounds of both, taken in turns so that the machine's load meets both alike. */
const [judge, raw] = [
  (i: number) => void orRefuse(verifyEvidence(p, reports[i % reports.length] ?? reports[0]!, { now, cache })),
  (i: number) => { const one = parsed[i % parsed.length]; if (one === undefined || !p.verify('ecdsa-p384-sha384', leaf.publicKey, one.signed, one.signature)) throw new Error('a signature did not hold') },
]
const rates = { judge: 0, raw: 0 }
for (let round = 0; round < 4; round++) {
  rates.judge = Math.max(rates.judge, rate(judge, seconds / 4))
  rates.raw = Math.max(rates.raw, rate(raw, seconds / 4))
}
console.log(`SNP reports judged, chain known   ${rates.judge.toFixed(0)} /s`)
console.log(`raw P-384 verifications           ${rates.raw.toFixed(0)} /s`)
console.log(`ratio ${(rates.judge / rates.raw).toFixed(2)} (aim: at least 0.70)`)

function rate(work: (i: number) => void, time: number): number {
  const start = process.cpuUsage()
  let done = 0
  for (const end = performance.now() + time * 1000; performance.now() < end; done++) work(done)
  const used = process.cpuUsage(start)
  return done / ((used.user + used.system) / 1e6)
}

