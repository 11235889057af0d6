import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attempt } from '@cloister/core/refusal'
import { brokerUrls, needOf } from './where.ts'

const code = (read: () => unknown) => { const result = attempt(read); return result.ok ? 'ok' : result.refusal.code }

test('brokers are named once each, and apart from a cloud; how many must agree makes sense only of several', () => {
  assert.deepEqual(brokerUrls({ brokers: 'http://a, http://b' }), ['http://a', 'http://b'])
  assert.deepEqual(brokerUrls({ cloud: 'http://a' }), [])
  const wrong = [{ brokers: 'http://a,http://b', cloud: 'http://c' }, { brokers: 'http://a,http://a' }, { brokers: 'http://a,' }, { brokers: '' }, { brokers: Array.from({ length: 33 }, (_, i) => `http://${i}`).join() }]
  for (const one of wrong) assert.equal(code(() => brokerUrls(one)), 'cli.usage', JSON.stringify(one))
  assert.deepEqual(needOf({ brokers: 'http://a', need: '2' }), { need: 2 })
  assert.deepEqual(needOf({ brokers: 'http://a' }), {})
  for (const one of [{ need: '2' }, { brokers: 'http://a', need: '0' }, { brokers: 'http://a', need: 'two' }, { brokers: 'http://a', need: '1.5' }]) assert.equal(code(() => needOf(one)), 'cli.usage')
})
