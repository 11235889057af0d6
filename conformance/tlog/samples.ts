/**
 * Small samples that others wrote: the examples of the C2SP specifications (CC BY 4.0) and the test proof of Project Oak
 * (`tr/c2sp/testdata/test.tlog-proof` and the keys of its test, Apache-2.0, Copyright The Project Oak Authors).
 */
import assert from 'node:assert/strict'
import { utf8 } from '@cloister/core/bytes/text'
import { parseCheckpoint } from '@cloister/core/log/checkpoint'
import { COSIGNATURE, noteKey, parseNote, parseVkey, signedBy } from '@cloister/core/log/note'
import { flatPolicy, formatPolicy, parsePolicy } from '@cloister/core/log/policy'
import { parseProof, verifyProof } from '@cloister/core/log/proof'
import { parseTilePath, tilePath, tilesOf } from '@cloister/core/log/tiles'
import { attempt, orRefuse } from '@cloister/core/refusal'
import { parseAddCheckpoint, parseWitnessAnswer } from '@cloister/core/log/witness'
import { generateSigner, nodePrimitives as p } from '../../cloud/crypto/node.ts'
import { check, type Outcome } from './check.ts'

const NOTE = {
  vkey: 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
  text: 'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n',
}
const COSIGNED = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
`
const ADD = `old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

${COSIGNED}`
const ANSWER = `— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==
— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
`
const OAK = {
  entry: 'test entry data', log: 'fake.log.origin/log+527eabb8+AddT9PtBhhNAsDYZ0V0euiRbXuvrLsw4L6vKARfipnmz', witness: 'test-witness+26349ef0+BIQDFTUlktisMqJzWn8qhteWrRr4dLcQ9R37T+8LQyQF',
  proof: `c2sp.org/tlog-proof@v1
index 3
JBLYbBgEHNZMP9yBly3cVyFLQPqn+z0YdjoHdksDJeY=
R71E/0J8A2l+L5ZFDuy/fy59xnJFGYNDRo6pKoqoihc=

fake.log.origin/log
4
CPv9hH0ShT6k/WU9QZeh1bV7bYeUOkrnBuCLCQG9GgE=

— fake.log.origin/log Un6ruNthJe4tf267eyOp8N1FYcK5AoY5b6v53qa6uDg33Xn5PqIaP35NSw87oCw+krzzJliWc5C7KqPV0oPyNxQ2awA=
— test-witness JjSe8AAAAABpmI8+HVh4f06FDH/kr4CtoQ63zVC31E8aT7JHzJMkLcOEIAGPiBG/IatdHdPk1mKe23SDzKi04+Tmzub1qcwuVG78DQ==
`,
}

export async function sampleChecks(): Promise<Outcome[]> {
  return [
    await check('signed-note: the example holds under its key, and not altered', () => {
      const key = parseVkey(p, NOTE.vkey)
      assert.ok(signedBy(p, parseNote(NOTE.text), key))
      assert.ok(!attempt(() => signedBy(p, parseNote(NOTE.text.replace('example message', 'another message')), key)).ok)
    }),
    await check('tlog-checkpoint, tlog-cosignature: the example is read', () => {
      const { origin, size, note } = orRefuse(parseCheckpoint(COSIGNED))
      assert.deepEqual([origin, size, note.signatures.map(one => one.signature.length)], ['example.com/behind-the-sofa', 20_852_163, [64, 72]])
    }),
    await check('tlog-witness: the example of a request and of an answer are read', () => {
      const { old, proof } = orRefuse(parseAddCheckpoint(utf8(ADD)))
      assert.deepEqual([old, proof.length], [20_852_014, 4])
      const answer = orRefuse(parseWitnessAnswer({ status: 200, type: 'text/plain', body: utf8(ANSWER) }))
      assert.ok(answer.kind === 'cosigned' && answer.signatures.length === 3)
    }),
    await check('tlog-tiles: the path and the tiles of the examples', () => {
      assert.equal(tilePath(0, 1_234_067), 'tile/0/x001/x234/067')
      assert.deepEqual(orRefuse(parseTilePath('tile/0/x001/x234/067')).index, 1_234_067)
      assert.deepEqual(tilesOf(70_000), [{ level: 0, full: 273, partial: 112 }, { level: 1, full: 1, partial: 17 }, { level: 2, full: 0, partial: 1 }])
      assert.deepEqual(tilesOf(256), [{ level: 0, full: 1, partial: 0 }, { level: 1, full: 0, partial: 1 }])
    }),
    await check('tlog-policy: the example of two levels of groups', () => {
      const text = `log ${OAK.log}\n\n${['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'].map((name, i) => `witness ${name} ${vkeyOf(i)}\n`).join('')}group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n`
      const policy = orRefuse(parsePolicy(text))
      assert.deepEqual(policy.groups.map(one => one.need), [2, 1, 2])
      assert.deepEqual(orRefuse(parsePolicy(formatPolicy(policy))), policy)
    }),
    await check('tlog-proof: the test proof of Project Oak holds under its log and witness, and for no other entry, index or key', () => {
      const policy = flatPolicy([OAK.log], [OAK.witness], 1)
      const { index, witnesses } = orRefuse(verifyProof(p, utf8(OAK.entry), OAK.proof, policy))
      assert.deepEqual([index, witnesses], [3, 1])
      assert.ok(!verifyProof(p, utf8('another'), OAK.proof, policy).ok)
      assert.ok(!verifyProof(p, utf8(OAK.entry), OAK.proof.replace('index 3', 'index 2'), policy).ok)
      assert.ok(!verifyProof(p, utf8(OAK.entry), OAK.proof, flatPolicy([OAK.log], [vkeyOf(1)], 1)).ok)
      assert.equal(orRefuse(parseProof(OAK.proof)).path.length, 2)
    }),
  ]
}

/** A witness of our own making, for the keys that an example leaves out. */
const vkeyOf = (i: number): string => {
  const { publicKey } = generateSigner('ed25519', new Uint8Array(32).fill(i))
  return publicKey.kind === 'ed25519' ? noteKey(p, `w${i}.example`, COSIGNATURE, publicKey.raw).vkey : assert.fail()
}
