/**
 * Preloaded by `npm test`: a test file that throws at its top level after it registered tests would pass in silence
 * (the test runner drops the error when all files share one process), so each file says when it was read to its end.
 */
import { registerHooks } from 'node:module'

const unfinished = new Set<string>()
Object.defineProperty(globalThis, 'testFileRead', { value: (url: string) => unfinished.delete(url) })

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (!url.endsWith('.test.ts') || loaded.source === undefined || loaded.source === null) return loaded
    unfinished.add(url)
    const source = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source)
    return { ...loaded, source: `${source}\n;globalThis.testFileRead(import.meta.url)` }
  },
})

process.on('exit', () => {
  for (const url of unfinished) console.error(`FAILED ${url}: it threw at its top level, so tests below that line never ran`)
  if (unfinished.size > 0) process.exitCode = 1
})
