/**
 * What the verifier weighs in a browser: minified and gzipped, without a network, and which rooms the bytes are. With the
 * portable primitives (@noble) and without them, as a page that hands in a port of its own would have it.
 */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build, type Plugin } from 'esbuild'

const core = join(import.meta.dirname, '../core')
const PORT = "export { portable } from './crypto/portable.ts'"
const BUNDLES = {
  'whole verifier': ["export { parseEvidence, verifyEvidence } from './evidence/index.ts'", 60],
  'SNP, TDX and Nitro': ["export { readSnp, verifySnp } from './evidence/snp/verify.ts'\nexport { amdRoots } from './evidence/snp/roots.ts'\nexport { readDcap, verifyDcap } from './evidence/dcap/verify.ts'\nexport { readNitro, verifyNitro } from './evidence/nitro/verify.ts'", 40],
} as const

/** The pinned certificates are data: they are counted apart to show what is code. */
async function weigh(contents: string, plugins: readonly Plugin[] = []): Promise<{ bytes: number; parts: [string, number][] }> {
  const made = await build({ stdin: { contents, resolveDir: core, loader: 'ts' }, bundle: true, write: false, metafile: true, minify: true, format: 'esm', platform: 'browser', target: 'es2024', conditions: ['source'], plugins: [...plugins], logLevel: 'silent' })
  const parts = new Map<string, number>()
  for (const output of Object.values(made.metafile.outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      const room = /@noble\/\w+/.exec(path)?.[0] ?? /core\/((?:evidence|appraisal)\/[\w-]+|\w+)/.exec(path)?.[1] ?? path
      parts.set(room, (parts.get(room) ?? 0) + bytesInOutput)
    }
  }
  return { bytes: gzipSync(made.outputFiles[0]?.contents ?? new Uint8Array(), { level: 9 }).length, parts: [...parts].toSorted((a, b) => b[1] - a[1]) }
}

for (const [name, [contents, aim]] of Object.entries(BUNDLES)) {
  const alone = await weigh(contents)
  const whole = await weigh(`${contents}\n${PORT}`)
  console.log(`${name}: ${(alone.bytes / 1000).toFixed(1)} kB gzipped (aim: ${aim}); with the portable primitives ${(whole.bytes / 1000).toFixed(1)} kB`)
  for (const [room, bytes] of alone.parts.slice(0, 12)) console.log(`  ${room.padEnd(24)} ${(bytes / 1000).toFixed(1).padStart(6)} kB minified`)
}
