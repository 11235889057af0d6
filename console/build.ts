/**
 * Builds the page into one file that works from a disk: script and style inside, allowed by their digests and nothing else.
 * `node --conditions=source console/build.ts [FILE]`; without FILE into `console/dist/verify.html`.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname

/** The page as one text. */
export async function buildPage(): Promise<string> {
  const made = await build({ entryPoints: [join(here, 'page.ts')], bundle: true, write: false, minify: true, format: 'esm', platform: 'browser', target: 'es2024', conditions: ['source'], charset: 'utf8', legalComments: 'none', logLevel: 'silent' })
  const script = made.outputFiles[0]?.text ?? ''
  if (/<\/script/i.test(script)) throw new Error('the script would end the element that it stands in')
  const style = readFileSync(join(here, 'page.css'), 'utf8')
  const parts: Readonly<Record<string, string>> = { SCRIPT: digest(script), STYLE: digest(style), CSS: style, JS: script }
  return readFileSync(join(here, 'page.html'), 'utf8').replace(/@(SCRIPT|STYLE|CSS|JS)@/g, (_, name: string) => parts[name] ?? '')
}

const digest = (text: string) => `sha256-${createHash('sha256').update(text).digest('base64')}`

if (process.argv[1] === import.meta.filename) {
  const file = process.argv[2] ?? join(here, 'dist', 'verify.html')
  mkdirSync(dirname(file), { recursive: true })
  const page = await buildPage()
  writeFileSync(file, page)
  console.log(`${file}: ${page.length} characters`)
}
