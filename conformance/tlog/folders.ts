/**
 * Vectors of others that are too many, or not ours, to keep here; read from a folder or file that is named:
 * `testdata` of transparency-dev/merkle (proofs), and the scripts of litewitness (`cmd/litewitness/testdata/*.txt` of
 * FiloSottile/torchwood: requests to a witness with the status that each gets), and the receipts in `examples` of
 * cose-wg/draft-ietf-cose-merkle-tree-proofs, whose keys and entries are not told: they are read, and not more.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fromBase64 } from '@cloister/core/bytes/base64'
import { fromHex } from '@cloister/core/bytes/hex'
import { utf8 } from '@cloister/core/bytes/text'
import { verifyConsistencyReceipt, verifyInclusionReceipt } from '@cloister/core/log/cose'
import { ED25519, noteKey } from '@cloister/core/log/note'
import { emptyRoot, verifyConsistency, verifyInclusion } from '@cloister/core/log/tree'
import { judgeAddCheckpoint, parseAddCheckpoint, type Remembered } from '@cloister/core/log/witness'
import { attempt, orRefuse, type Result } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { check, skipped, type Outcome } from './check.ts'

/** One case of transparency-dev/merkle. Numbers may be what no number here keeps exactly: those are no sizes. */
interface Case {
  readonly leafIdx: number; readonly treeSize: number; readonly root: string | null; readonly leafHash: string | null
  readonly size1: number; readonly size2: number; readonly root1: string | null; readonly root2: string | null
  readonly proof: readonly (string | null)[] | null; readonly wantErr: boolean
}

/** A case of theirs where two texts that are no hashes at all are the root of a tree of one entry: to us a root has 32 bytes. */
const NO_HASHES = 'consistency/additional/sizes-are-equal-one-and-proof-is-empty.json'

export async function merkleChecks(folder: string | undefined): Promise<Outcome[]> {
  const name = 'transparency-dev/merkle'
  if (folder === undefined || !existsSync(join(folder, 'inclusion'))) return [skipped(name, 'name its testdata folder with --merkle')]
  const files = (suite: string) => readdirSync(join(folder, suite), { recursive: true, encoding: 'utf8' }).filter(path => path.endsWith('.json')).sort().map(path => `${suite}/${path}`)
  const of = (suite: string, holds: (one: Case) => boolean) => Promise.all(files(suite).map(path => {
    const one = JSON.parse(readFileSync(join(folder, path), 'utf8')) as Case // their form; a file of another one fails its check
    const held = attempt(() => holds(one))
    const agree = (held.ok && held.value) === !one.wantErr
    if (!agree && path === NO_HASHES) return Promise.resolve(skipped(`${name} ${path}`, 'its roots are no hashes'))
    return check(`${name} ${path}`, () => { if (!agree) throw new Error(`wanted ${one.wantErr ? 'a refusal' : 'a proof that holds'}`) })
  }))
  const hash = (text: string | null) => fromBase64(text ?? '')
  const path = (one: Case) => (one.proof ?? []).map(hash)
  return [
    ...await of('inclusion', one => verifyInclusion(p, hash(one.leafHash), one.leafIdx, one.treeSize, path(one), hash(one.root)).ok),
    ...await of('consistency', one => verifyConsistency(p, one.size1, hash(one.root1), one.size2, hash(one.root2), path(one)).ok),
  ]
}

export async function receiptChecks(folder: string | undefined): Promise<Outcome[]> {
  if (folder === undefined) return [skipped('COSE receipts', 'name the examples folder with --receipts')]
  const stranger = generateSigner('p256').publicKey
  const code = (result: Result<unknown>) => (result.ok ? 'accepted' : result.refusal.code)
  const read = (name: string) => new Uint8Array(readFileSync(join(folder, name)))
  return [
    await check('COSE receipts: the receipt of inclusion is read to its signature', () => { assert.equal(code(verifyInclusionReceipt(p, read('inclusion-receipt.cbor'), utf8('entry'), stranger)), 'log.signature') }),
    await check('COSE receipts: the receipt of consistency is read to its older root', () => { assert.equal(code(verifyConsistencyReceipt(p, read('consistency-receipt.cbor'), { old: 3, oldRoot: emptyRoot(p) }, stranger)), 'log.consistency') }),
  ]
}

export async function litewitnessChecks(files: readonly string[]): Promise<Outcome[]> {
  if (files.length === 0) return [skipped('litewitness', 'name its scripts with --litewitness')]
  return (await Promise.all(files.map(scriptChecks))).flat()
}

/** The requests of a script in order, to one witness that remembers. */
async function scriptChecks(file: string): Promise<Outcome[]> {
  const text = readFileSync(file, 'utf8')
  const sigsum = [...text.matchAll(/add-sigsum-log -key=([0-9a-f]{64})/g)].map(([, hex = '']) => fromHex(hex))
  const logs = [
    ...sigsum.map(key => ({ vkey: noteKey(p, `sigsum.org/v1/tree/${Buffer.from(p.hash('sha256', key)).toString('hex')}`, ED25519, key).vkey })),
    ...[...text.matchAll(/add-key -origin \S+ -key (\S+)/g)].map(([, vkey = '']) => ({ vkey })),
  ]
  const memory = new Map<string, Remembered>()
  const outcomes: Outcome[] = []
  for (const [i, [, body = '', status = '']] of [...text.matchAll(/POST \S+\/add-checkpoint\n```\n([^`]*)```\nHTTP ([0-9]{3})/g)].entries()) {
    const name = `litewitness ${basename(file)} request ${i + 1}: ${status}`
    const request = parseAddCheckpoint(utf8(body))
    // Its signatures have unused bits that are not zero in their base64: to us that is no base64, and a 400.
    if (!request.ok && request.refusal.code === 'bytes.encoding' && status === '403') {
      outcomes.push(skipped(name, 'a signature in base64 that is not canonical: malformed to us'))
      continue
    }
    outcomes.push(await check(name, () => {
      const judged = judgeAddCheckpoint(p, orRefuse(request), logs, origin => memory.get(origin) ?? { size: 0, root: emptyRoot(p) })
      if (judged.status === 200) memory.set(judged.checkpoint.origin, judged.checkpoint)
      // Version 1.0.0 of the specification says 404 where this program still says 403: a log that it does not know.
      const wanted = judged.status === 404 && status === '403' ? 404 : Number(status)
      if (judged.status !== wanted) throw new Error(`status ${judged.status}`)
    }))
  }
  return outcomes.length > 0 ? outcomes : [skipped(`litewitness ${basename(file)}`, 'no requests to add-checkpoint in it')]
}
