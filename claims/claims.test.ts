// The claim programs hold, and can fail: a search that finds nothing must be able to find something.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Needles } from './needles.ts'
import { providerSeesNothing } from './provider-sees-nothing.ts'

const skip = process.getuid?.() === 0 ? false : 'only root sees what a provider sees'

test('a provider with root sees nothing of the room', { skip }, async () => {
  let outcome = await providerSeesNothing()
  // On a busy machine the guest may live and end between two looks: that proves nothing, so look again.
  for (let again = 0; again < 3 && outcome.result === 'inconclusive'; again++) outcome = await providerSeesNothing()
  assert.equal(outcome.result, 'intact', JSON.stringify(outcome, null, 1))
})

test('a name in shared memory, and a key on disk, are found', { skip }, async () => {
  for (const plant of ['shared memory', 'key'] as const) {
    const outcome = await providerSeesNothing({ plant })
    assert.equal(outcome.result, 'falsified', JSON.stringify(outcome, null, 1))
  }
})

test('a needle is found in every form, at every alignment, and its absence too', () => {
  const needles = new Needles()
  needles.addText('name', 'Marker Person')
  needles.addBytes('key', Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'), true)
  const forms = [Buffer.from('Marker Person'), Buffer.from('MARKER PERSON'), Buffer.from('marker person'), Buffer.from('Marker Person', 'utf16le'), Buffer.from(Buffer.from('Marker Person').toString('hex'))]
  const around = [0, 1, 2, 3].map(before => Buffer.from(Buffer.from(`${'.'.repeat(before)}Marker Person and more`).toString('base64')))
  for (const bytes of [...forms, ...around]) assert.deepEqual(needles.find(Buffer.concat([Buffer.alloc(7), bytes, Buffer.alloc(9)])).map(({ what }) => what), ['name'], bytes.toString('latin1'))
  assert.deepEqual(needles.find(Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')), [{ what: 'key', encoding: 'bytes' }])
  assert.deepEqual(needles.find(Buffer.from('Marker Perso'.repeat(50))), [])
})
