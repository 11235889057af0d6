/**
 * What a person sees (stderr: progress, colour on a terminal only) and what a program reads (stdout: one JSON object),
 * and the exit statuses of the whole command line: 0 done, 10 refused, 20 unsupported, 30 malformed input, 1 our failure.
 */
import { Refused, type Refusal, type RefusalCode } from '@cloister/core/refusal'

export interface Screen {
  readonly json: boolean
  /** A step begins; its time is shown when the next one begins or the screen is closed. */
  step(text: string): void
  /** A line for people. */
  say(text?: string): void
  warn(text: string): void
  ok(text: string): void
  bad(text: string): void
  /** The result: `value` for programs, `text` for people. */
  result(value: unknown, text: string): void
  close(): void
  readonly timings: Record<string, number>
}

export function openScreen(json: boolean): Screen {
  const colour = process.stderr.isTTY === true && process.env['NO_COLOR'] === undefined
  const paint = (code: string, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
  const out = (text: string) => process.stderr.write(`${text}\n`)
  const timings: Record<string, number> = {}
  let step: { text: string; since: number } | undefined
  const finish = () => {
    if (step === undefined) return
    const ms = Math.round(performance.now() - step.since)
    timings[step.text] = ms
    out(`${paint('32', '✔')} ${step.text} ${paint('2', `${ms} ms`)}`)
    step = undefined
  }
  return {
    json, timings,
    step: text => {
      finish()
      step = { text, since: performance.now() }
    },
    say: (text = '') => { finish(); out(text) },
    warn: text => { finish(); out(paint('33', `! ${text}`)) },
    ok: text => { finish(); out(`${paint('32', '✔')} ${text}`) },
    bad: text => { step = undefined; out(`${paint('31', '✘')} ${text}`) },
    result: (value, text) => { finish(); process.stdout.write(json ? `${JSON.stringify(value)}\n` : `${text}\n`) },
    close: finish,
  }
}

/** Run a command to its end and leave with the status that says how it went. */
export async function conclude(screen: Screen, command: () => Promise<void>): Promise<void> {
  try {
    await command()
    screen.close()
  } catch (error) {
    process.exitCode = 1
    if (error instanceof Refused) process.exitCode = showRefusal(screen, error.refusal)
    else screen.bad(`internal failure: ${error instanceof Error ? (error.stack ?? error.message) : 'unknown'}`)
  }
}

/** Show a refusal and give its exit status. */
export function showRefusal(screen: Screen, refusal: Refusal): number {
  screen.bad(`refused: ${refusal.code}`)
  screen.say(`  at        ${refusal.at}`)
  screen.say(`  expected  ${refusal.expected}`)
  screen.say(`  got       ${refusal.got}`)
  if (refusal.fix !== undefined) screen.say(`  mend      ${refusal.fix}`)
  if (screen.json) process.stdout.write(`${JSON.stringify({ ok: false, refusal })}\n`)
  return statusOf(refusal.code)
}

const MALFORMED = /^(bytes|json|der|cbor|xml)\.|^(corim\.syntax|appraisal\.policy|evidence\.kind)$|^charter\.(syntax|limit|unknown-field|missing-field|value|dangling|duplicate|quorum)$|^(evidence|receipt|x509)\.parse$|^log\.(note|proof|checkpoint)$|^age\.header$|^cli\.(usage|file)$|^data\.(format|column|type)$/

function statusOf(code: RefusalCode): number {
  return code === 'cli.unsupported' || code === 'evidence.unsupported' ? 20 : MALFORMED.test(code) ? 30 : 10
}
