/** `npm run bench [-- NAME] [--quick]`: each benchmark is a program of its own that prints both sides and the ratio last. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const args = process.argv.slice(2)
const flags = args.filter(arg => arg.startsWith('-'))
const named = args.filter(arg => !arg.startsWith('-'))
const all = readdirSync(import.meta.dirname).filter(file => file.endsWith('.ts') && file !== 'run.ts').map(file => file.slice(0, -3)).sort()
for (const name of named.length > 0 ? named : all) {
  const file = join(import.meta.dirname, `${name}.ts`)
  if (!existsSync(file)) {
    console.error(`no benchmark ${name}: there are ${all.join(', ')}`)
    process.exit(30)
  }
  console.log(`\n== ${name}`)
  const { status } = spawnSync(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', '--expose-gc', file, ...flags], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
