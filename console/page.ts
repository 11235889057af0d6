/**
 * The page: files are dropped, the verdict is drawn. Every text that comes from a file is set as text, never as markup.
 * Trusts the person at the keyboard; asks nobody.
 */
import type { Explanation } from '@cloister/core/evidence/explain'
import type { Refusal } from '@cloister/core/refusal'
import { judgeFiles, type Verdict } from './verdict.ts'

const FILES_MAX = 32
const BYTES_MAX = 8 * 1024 * 1024

/** An element with a class and children; texts become text nodes. */
function make(tag: string, className: string, ...children: readonly (Node | string)[]): HTMLElement {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.append(...children)
  return element
}
const list = (className: string, texts: readonly string[]) => make('ul', className, ...texts.map(text => make('li', '', text)))
const section = (title: string, ...children: readonly Node[]) => make('section', '', make('h3', '', title), ...children)

const WORDS = { proven: 'The evidence holds', weak: 'Genuine, with weaknesses: see below', simulated: 'SIMULATED: no hardware vouches for this', refused: 'Refused' } as const

function draw(verdict: Verdict): Node[] {
  const banner = make('h2', `banner ${verdict.kind}`, WORDS[verdict.kind])
  if (verdict.kind === 'refused') return [banner, drawRefusal(verdict.refusal)]
  const { claims, explanation, notes } = verdict
  const details = make('details', '', make('summary', '', 'All claims'), make('pre', '', JSON.stringify(claims, undefined, 2)))
  return [banner, make('p', 'lead', `${claims.tee} · ${claims.product} · ${claims.measurement.slice(0, 32)}…`), ...drawExplanation(explanation), ...(notes.length === 0 ? [] : [section('Beside that', list('notes', notes))]), details]
}

function drawExplanation({ chain, proven, notProven, devices }: Explanation): Node[] {
  const boxes = make('ol', 'chain', ...chain.map(({ who, says }) => make('li', '', make('strong', '', who), ` ${says}.`)))
  return [
    section('Who vouches for whom', boxes), section('Proven', list('proven', proven)), section('Not proven', list('not-proven', notProven)),
    ...devices.map((device, i) => make('section', 'device', make('h3', '', `Device ${i + 1}`), ...drawExplanation(device))),
  ]
}

function drawRefusal({ code, at, expected, got, fix }: Refusal): Node {
  const rows = [['code', code], ['where', at], ['expected', expected], ['got', got], ...(fix === undefined ? [] : [['mend', fix]])] as const
  return make('dl', 'refusal', ...rows.flatMap(([name = '', text = '']) => [make('dt', '', name), make('dd', '', text)]))
}

function field<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new TypeError(`the page has no ${id}`)
  return found
}

const [drop, picker, output, names, save] = [field('drop', HTMLElement), field('files', HTMLInputElement), field('verdict', HTMLElement), field('names', HTMLElement), field('save', HTMLButtonElement)]
const [nonce, time, trust] = [field('nonce', HTMLInputElement), field('time', HTMLInputElement), field('trust', HTMLTextAreaElement)]
let chosen: readonly File[] = []
let last: Verdict | undefined

async function judge(): Promise<void> {
  if (chosen.length === 0) return
  names.textContent = chosen.map(file => `${file.name} (${file.size} bytes)`).join(', ')
  const tooMuch = chosen.length > FILES_MAX || chosen.some(file => file.size > BYTES_MAX)
  const refused = (at: string, expected: string, got: string): Verdict => ({ kind: 'refused', refusal: { code: 'bytes.too-large', at, expected, got } })
  const now = time.value.trim() === '' ? Date.now() : Date.parse(time.value.trim())
  if (tooMuch) last = refused('files', `at most ${FILES_MAX} files of ${BYTES_MAX} bytes`, `${chosen.length} files`)
  else if (Number.isNaN(now)) last = { kind: 'refused', refusal: { code: 'cli.usage', at: 'time', expected: 'a time like 2026-11-20T12:00:00Z', got: time.value } }
  else {
    const files = await Promise.all(chosen.map(async file => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })))
    last = judgeFiles(files, { now: Math.floor(now / 1000), nonce: nonce.value, trust: trust.value })
  }
  output.replaceChildren(...draw(last))
  save.hidden = false
  document.body.dataset['verdict'] = last.kind
}

function choose(files: FileList | null | undefined): void {
  if (files === null || files === undefined || files.length === 0) return
  chosen = [...files]
  void judge()
}

picker.addEventListener('change', () => choose(picker.files))
for (const input of [nonce, time, trust]) input.addEventListener('change', () => void judge())
for (const name of ['dragover', 'dragleave', 'drop'] as const) {
  drop.addEventListener(name, event => {
    event.preventDefault()
    drop.classList.toggle('over', name === 'dragover')
    if (name === 'drop') choose(event.dataTransfer?.files)
  })
}
save.addEventListener('click', () => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([JSON.stringify(last, undefined, 2)], { type: 'application/json' }))
  link.download = 'verdict.json'
  link.click()
  URL.revokeObjectURL(link.href)
})
