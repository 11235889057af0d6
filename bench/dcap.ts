/**
 * TDX quotes with their collateral judged per CPU-second, everything anew and with one provider's chain and collateral
 * known, against the raw P-256 verifications that each needs (ten and one), in one run and one process.
 */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { evidenceOf, NOW, root } from '@cloister/core/evidence/dcap/dcap.fixture'
import { verifyDcap } from '@cloister/core/evidence/dcap/verify'
import { parseQuote } from '@cloister/core/evidence/dcap/quote'
import type { VerifyOptions } from '@cloister/core/evidence/index'
import { nodePrimitives as p } from '../cloud/crypto/node.ts'

const seconds = process.argv.includes('--quick') ? 1 : 4
const evidence = Array.from({ length: 16 }, (_, i) => evidenceOf({ body: (bytes, start) => { bytes[start + 520] = i } }))
const cache: NonNullable<VerifyOptions['cache']> = new Map()
const quotes = evidence.map(one => parseQuote(fromBase64(one.quote)))
const at = (i: number) => evidence[i % evidence.length] ?? evidenceOf()

const rates = { cold: 0, known: 0, raw: 0 }
for (let round = 0; round < 4; round++) {
  rates.cold = Math.max(rates.cold, rate(i => void verifyDcap(p, at(i), { now: NOW }, root)))
  rates.known = Math.max(rates.known, rate(i => void verifyDcap(p, at(i), { now: NOW, cache }, root)))
  rates.raw = Math.max(rates.raw, rate(i => {
    const quote = quotes[i % quotes.length]
    if (quote === undefined || !p.verify('ecdsa-p256-sha256', { kind: 'p256', raw: new Uint8Array([4, ...quote.attestationKey]) }, quote.signed, quote.signature)) throw new Error('a signature did not hold')
  }))
}
console.log(`TDX with collateral, all anew     ${rates.cold.toFixed(0)} /s`)
console.log(`TDX, chain and collateral known   ${rates.known.toFixed(0)} /s`)
console.log(`raw P-256 verifications           ${rates.raw.toFixed(0)} /s`)
console.log(`ratio ${(rates.cold * 10 / rates.raw).toFixed(2)} of ten raw verifications; ${(rates.known / rates.raw).toFixed(2)} of one`)

function rate(work: (i: number) => void): number {
  const start = process.cpuUsage()
  let done = 0
  for (const end = performance.now() + seconds * 250; performance.now() < end; done++) work(done)
  const used = process.cpuUsage(start)
  return done / ((used.user + used.system) / 1e6)
}
