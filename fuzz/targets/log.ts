/** Targets of the log: paths, tiles and bundles, what logs and witnesses say to each other, receipts in COSE, forks. */
import { concat, equal } from '@cloister/core/bytes/bytes'
import { toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { readSign1 } from '@cloister/core/crypto/cose'
import { checkpointText, parseCheckpoint } from '@cloister/core/log/checkpoint'
import { consistencyReceipt, inclusionReceipt, verifyConsistencyReceipt, verifyInclusionReceipt } from '@cloister/core/log/cose'
import { formatFork, parseFork, verifyFork, type Fork } from '@cloister/core/log/monitor'
import { COSIGNATURE, COSIGNATURE_ML_DSA_44, cosignNote, formatNote, logKey, noteKey, signNote } from '@cloister/core/log/note'
import { flatPolicy, formatPolicy, parsePolicy, verifyCheckpoint, type LogPolicy } from '@cloister/core/log/policy'
import { formatProof } from '@cloister/core/log/proof'
import { encodeBundle, entriesFromTiles, HASH_BYTES, parseBundle, parseTilePath, tilePath, verifiedTiles, type Tile } from '@cloister/core/log/tiles'
import { consistencyProof, inclusionProof, rootAt } from '@cloister/core/log/tree'
import { cosignatureOf, encodeAddCheckpoint, encodeWitnessAnswer, parseAddCheckpoint, parseWitnessAnswer, type AddCheckpoint, type WitnessAnswer } from '@cloister/core/log/witness'
import { attempt, orRefuse } from '@cloister/core/refusal'
import { nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { ed25519Signer, mlDsaSigner, p256Signer, tilesOver } from '../../core/log/tree.fixture.ts'
import type { Draw } from '../draw.ts'
import type { Target } from '../target.ts'
import { change, changeText } from '../texts.ts'
import { changeCbor } from '../trees.ts'
import { textOf } from './bytes.ts'

const changed = (valid: readonly Uint8Array[]) => (draw: Draw) => (draw.oneIn(30) ? draw.pick(valid) : change(draw, draw.pick(valid)))
const changedText = (valid: readonly string[]) => (draw: Draw) => {
  const text = draw.pick(valid)
  return draw.oneIn(30) ? utf8(text) : draw.oneIn(3) ? utf8(changeText(draw, text)) : change(draw, utf8(text))
}
const same = (a: Uint8Array, b: Uint8Array, what: string) => (equal(a, b) ? undefined : what)

const SIZE = 300
const [log, witness] = [ed25519Signer('log'), ed25519Signer('witness')]
const safe = mlDsaSigner('log')
const entry = (i: number) => utf8(`entry ${i}`)
const truth = tilesOver(p, SIZE, entry)
const lie = tilesOver(p, SIZE, i => utf8(i < 250 ? `entry ${i}` : `another ${i}`))
const root = rootAt(p, SIZE, truth.hashAt)
const witnessKeys = [noteKey(p, 'w.example', COSIGNATURE, witness.raw).vkey, noteKey(p, 'w2.example', COSIGNATURE_ML_DSA_44, safe.raw).vkey] as const
const policy = flatPolicy([logKey(p, 'log.example', log.publicKey).vkey], [witnessKeys[0]], 1)
const signed = (size: number, tree = truth) => cosignNote(p, signNote(p, { text: checkpointText('log.example', size, rootAt(p, size, tree.hashAt)), signatures: [] }, 'log.example', log), 'w.example', witness, 1_800_000_000)
const shown = (size: number, tree = truth) => formatNote(signed(size, tree))

// A policy of groups over a log with two kinds of keys.
const both = orRefuse(parsePolicy(`log ${logKey(p, 'log.example', log.publicKey).vkey} https://log.example/\nlog ${logKey(p, 'log.example', safe.publicKey).vkey}\nwitness a ${witnessKeys[0]} https://a.example/\nwitness b ${witnessKeys[1]}\ngroup x any a\ngroup y all b\ngroup all 2 x y\nquorum all\n`))
const twice = formatNote(cosignNote(p, signNote(p, signed(SIZE), 'log.example', safe, 5), 'w2.example', safe, 1_800_000_001))
const linesOf = (text: string) => {
  const { note } = orRefuse(parseCheckpoint(text))
  const known = new Set(['log.example', 'w.example', 'w2.example'])
  return JSON.stringify([note.text, [...new Set(note.signatures.filter(one => known.has(one.name)).map(one => toHex(concat(one.keyId, one.signature))))].sort()])
}

/** All files of the log but its checkpoint, one behind the other; what is too long or too short makes the last one so. */
const FILES: readonly Tile[] = [{ level: 0, index: 0, width: 256 }, { level: 0, index: 1, width: 44 }, { level: 1, index: 0, width: 1 }, { level: 'entries', index: 0, width: 256 }, { level: 'entries', index: 1, width: 44 }]
const files = concat(...FILES.map(truth.read))
function readFiles(input: Uint8Array): unknown {
  let from = 0
  const at = new Map(FILES.map((tile, i) => {
    const end = i === FILES.length - 1 ? input.length : from + (tile.level === 'entries' ? truth.read(tile).length : tile.width * HASH_BYTES)
    const bytes = input.subarray(from, end)
    from = end
    return [tilePath(tile.level, tile.index, tile.width), bytes] as const
  }))
  const read = (tile: Tile) => at.get(tilePath(tile.level, tile.index, tile.width)) ?? new Uint8Array(0)
  const hashes = verifiedTiles(p, SIZE, root, read)
  return [0, 1].flatMap(index => entriesFromTiles(p, SIZE, index, read, hashes))
}

const paths = ['tile/0/000', 'tile/0/x001/x234/067', 'tile/1/000.p/17', 'tile/entries/x999/255.p/255', 'tile/63/000', 'tile/0/x009/x007/x199/x254/x740/991']
const bundles = [truth.read({ level: 'entries', index: 1, width: 44 }), encodeBundle([new Uint8Array(0), new Uint8Array(700)])]
const requests = [[0, 5], [3, 7], [7, 7], [250, SIZE]].map(([old = 0, size = 0]) => encodeAddCheckpoint({ old, proof: consistencyProof(p, old, size, truth.hashAt), checkpoint: shown(size) }))
const { signatures } = signed(SIZE)
const newest = orRefuse(parseCheckpoint(shown(SIZE)))
const answers: WitnessAnswer[] = [{ kind: 'conflict', size: 12_345 }, { kind: 'cosigned', signatures: signatures.slice(1) }]
const fork: Fork = { first: shown(280), second: shown(SIZE, lie), root: rootAt(p, 280, lie.hashAt), proof: consistencyProof(p, 280, SIZE, lie.hashAt) }
const proof = formatProof({ index: 33, path: inclusionProof(p, 33, SIZE, truth.hashAt), checkpoint: shown(SIZE) })
const receiptSigners = [ed25519Signer('receipts'), p256Signer('receipts')] as const
const receipts = receiptSigners.map(signer => orRefuse(inclusionReceipt(p, entry(33), proof, policy, signer, utf8('key'))))
const from = { old: 100, oldRoot: rootAt(p, 100, truth.hashAt) }
const continued = receiptSigners.map(signer => orRefuse(consistencyReceipt(p, from, { size: SIZE, root }, consistencyProof(p, 100, SIZE, truth.hashAt), signer)))
const readReceipt = (input: Uint8Array) => {
  const apart = attempt(() => readSign1(input, { tag: 'required', detached: root, criticalKnown: [395] }))
  return apart.ok ? apart.value : readSign1(input, { tag: 'required', criticalKnown: [395] })
}
/** What a receipt's signature covers is the protected header and a root that it has to give; the rest may differ as far as it leads there. */
const covered = (input: Uint8Array) => {
  return toHex(readReceipt(input).protectedBytes)
}
const byEither = (judge: (key: typeof receiptSigners[number]['publicKey']) => unknown, algorithm: string) => judge(receiptSigners[algorithm === 'ES256' ? 1 : 0].publicKey)
const algorithmOf = (input: Uint8Array) => readReceipt(input).algorithm
const receiptDraw = (valid: readonly Uint8Array[]) => (draw: Draw) => (draw.oneIn(3) ? changeCbor(draw, draw.pick(valid)) : changed(valid)(draw))

export const targets: readonly Target[] = [
  { name: 'tile-path', draw: changedText(paths), judge: input => orRefuse(parseTilePath(textOf(input))), again: (input, value) => { const { level, index, width } = value as Tile; return tilePath(level, index, width) === textOf(input) ? undefined : 'written back as another path' } }, // what judge gave
  { name: 'tile-bundle', draw: changed(bundles), judge: input => orRefuse(parseBundle(input)), again: (input, value) => same(encodeBundle(value as Uint8Array[]), input, 'written back as another bundle') }, // what judge gave
  { name: 'tile-files', slow: true, draw: changed([files]), judge: readFiles, signed: { valid: [files], same: toHex } },
  { name: 'log-policy-groups', slow: true, draw: changedText([formatPolicy(both)]), judge: input => orRefuse(parsePolicy(textOf(input))), again: (_, value) => (formatPolicy(orRefuse(parsePolicy(formatPolicy(value as LogPolicy)))) === formatPolicy(value as LogPolicy) ? undefined : 'another policy when written again') }, // what judge gave
  { name: 'checkpoint-two-keys', slow: true, draw: changedText([twice]), judge: input => orRefuse(verifyCheckpoint(p, orRefuse(parseCheckpoint(textOf(input))), both)), signed: { valid: [utf8(twice)], same: input => linesOf(textOf(input)) } },
  { name: 'add-checkpoint', draw: changed(requests), judge: input => orRefuse(parseAddCheckpoint(input)), again: (input, value) => same(encodeAddCheckpoint(value as AddCheckpoint), input, 'written back as another request') }, // what judge gave
  ...answers.map((answer, i): Target => {
    const { status, type, body } = encodeWitnessAnswer(answer)
    return { name: `witness-answer-${i === 0 ? 'conflict' : 'cosigned'}`, draw: changed([body]), judge: input => orRefuse(parseWitnessAnswer({ status, type, body: input })), again: (input, value) => same(encodeWitnessAnswer(value as WitnessAnswer).body, input, 'written back as another answer') } // what judge gave
  }),
  {
    name: 'cosignature', slow: true, draw: changed([encodeWitnessAnswer({ kind: 'cosigned', signatures }).body]),
    judge: input => { const answer = orRefuse(parseWitnessAnswer({ status: 200, type: '', body: input })); return answer.kind === 'cosigned' ? orRefuse(cosignatureOf(p, newest, answer.signatures, witnessKeys[0])) : undefined },
    signed: { valid: [encodeWitnessAnswer({ kind: 'cosigned', signatures }).body], same: input => [...new Set(fromUtf8(input).split('\n').filter(line => line.startsWith('— w.example ')))].join() },
  },
  { name: 'fork', draw: changedText([formatFork(fork)]), judge: input => orRefuse(parseFork(input)), again: (_, value) => (formatFork(orRefuse(parseFork(formatFork(value as Fork)))) === formatFork(value as Fork) ? undefined : 'another fork when written again') }, // what judge gave
  { name: 'fork-verified', slow: true, draw: changedText([formatFork(fork)]), judge: input => orRefuse(verifyFork(p, orRefuse(parseFork(input)), policy)), signed: { valid: [utf8(formatFork(fork))], same: input => { const read = orRefuse(parseFork(input)); return [read.first, read.second].map(text => orRefuse(parseCheckpoint(text)).note.text).join() } } },
  { name: 'receipt-inclusion', slow: true, draw: receiptDraw(receipts), judge: input => byEither(key => orRefuse(verifyInclusionReceipt(p, input, entry(33), key)), algorithmOf(input)), again: (_, value) => same((value as { root: Uint8Array }).root, root, 'another root'), signed: { valid: receipts, same: covered } }, // what judge gave
  { name: 'receipt-consistency', slow: true, draw: receiptDraw(continued), judge: input => byEither(key => orRefuse(verifyConsistencyReceipt(p, input, from, key)), algorithmOf(input)), again: (_, value) => same((value as { root: Uint8Array }).root, root, 'another root'), signed: { valid: continued, same: covered } }, // what judge gave
]
