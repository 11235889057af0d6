/** The judging rooms: their sources, and the tests that must notice a mutant of them. */
import { execFileSync } from 'node:child_process'

export interface Room { readonly name: string; readonly sources: readonly string[]; readonly tests: readonly string[] }

const isTest = (path: string) => /\.(test|suite|fixture)\.ts$/.test(path)
const SINGLE: Record<string, { readonly sources: RegExp; readonly tests: RegExp }> = {
  x509: { sources: /^core\/crypto\/x509\.ts$/, tests: /^core\/crypto\/x509[^/]*\.test\.ts$/ },
  crypto: { sources: /^core\/crypto\/(keys|pem|hpke|hkdf|rsa|shamir|prehash)\.ts$/, tests: /^core\/crypto\/.*\.test\.ts$/ },
  verify: { sources: /^core\/verify\.ts$/, tests: /^(core\/verify[^/]*|cloud\/ledger\/receipt)\.test\.ts$/ },
  evidence: { sources: /^core\/evidence\/[^/]+\.ts$/, tests: /^core\/evidence\/[^/]+\.test\.ts$/ },
}
const FOLDERS = ['bytes', 'appraisal', 'charter', 'log', 'receipt', 'seal', 'loop']
/** Bytes of vendors, keys that are published, and lists of names: nothing in them judges. */
const DATA = /(roots?|claims|types|refusal|published|chip)\.ts$/

/** All rooms of the tree at `root`; each folder of core/evidence is one. */
export function roomsOf(root: string): Room[] {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', 'core', 'cloud'], { cwd: root, encoding: 'utf8' }).split('\n').filter(path => path.endsWith('.ts') && !path.endsWith('.d.ts'))
  const kinds = [...new Set(files.flatMap(path => /^core\/evidence\/([^/]+)\//.exec(path)?.[1] ?? []))].filter(kind => kind !== 'simulated')
  const folder = (name: string, under: string): Room => ({ name, sources: files.filter(path => path.startsWith(under) && !isTest(path) && !DATA.test(path)), tests: files.filter(path => path.startsWith(under) && path.endsWith('.test.ts')) })
  return [
    ...kinds.map(kind => folder(kind, `core/evidence/${kind}/`)),
    ...FOLDERS.map(name => folder(name, `core/${name}/`)),
    ...Object.entries(SINGLE).map(([name, { sources, tests }]) => ({ name, sources: files.filter(path => sources.test(path) && !isTest(path) && !DATA.test(path)), tests: files.filter(path => tests.test(path)) })),
  ].map(room => ({ ...room, sources: room.sources.filter(path => path.startsWith('core/')) }))
}

