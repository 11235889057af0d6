import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orRefuse } from '@cloister/core/refusal'
import { brokerApp, serveBroker } from './http.ts'
import { ask, newWorld, openKeys, ready } from './world.fixture.ts'

test('http: hello and release over a socket, on the loopback', async context => {
  const world = newWorld()
  const broker = await ready(world)
  const served = await serveBroker(broker)
  context.after(() => served.close())
  assert.match(served.url, /^http:\/\/127\.0\.0\.1:/)
  const asked = orRefuse(await ask(world, broker))
  const response = await fetch(`${served.url}/v1/release`, { method: 'POST', body: JSON.stringify(asked.body) })
  assert.equal(response.status, 200)
  const body = await response.json() as Record<string, unknown> // checked by openKeys
  assert.equal(orRefuse(openKeys(broker, asked, body)).length, 2)
  const shown = await fetch(`${served.url}/v1/charters/${world.lineage}`)
  assert.equal(shown.status, 200)
  const checkpoint = await fetch(`${served.url}/log/checkpoint`)
  assert.match(await checkpoint.text(), /^log\.test\n4\n/)
  const tile = await fetch(`${served.url}/log/tile/entries/000.p/4`)
  assert.equal(tile.headers.get('content-type'), 'application/octet-stream')
  assert.equal((await fetch(`${served.url}/v1/log/policy`)).status, 200)
})

test('http: what cannot be read is 400, what is too large 413, what is not allowed 403, what is not there 404', async () => {
  const world = newWorld()
  const app = brokerApp(await ready(world))
  const post = async (path: string, body: string) => {
    const response = await app.request(path, { method: 'POST', body })
    const answer = await response.json() as { refusal?: { code: string } } // only the code is looked at
    return `${response.status} ${answer.refusal?.code ?? 'ok'}`
  }
  assert.equal(await post('/v1/hello', '{'), '400 json.syntax')
  assert.equal(await post('/v1/hello', '{"nonce":1,"nonce":2}'), '400 json.duplicate-key')
  assert.equal(await post('/v1/hello', '{"__proto__":{}}'), '400 json.forbidden-key')
  assert.equal(await post('/v1/hello', '['.repeat(10_000)), '400 bytes.too-deep')
  assert.equal(await post('/v1/hello', '{"nonce":"AAAA"}'), '400 broker.request')
  assert.equal(await post('/v1/hello', `{"nonce":"${'A'.repeat(44)}","more":1}`), '400 broker.request')
  assert.equal(await post('/v1/release', `"${'x'.repeat(10 << 20)}"`), '413 bytes.too-large')
  assert.equal(await post('/v1/hello', `{"nonce":"${'A'.repeat(44)}","charter":"sha256:${'0'.repeat(64)}"}`), '403 head.unknown-charter')
  assert.equal(await post('/v1/nothing', '{}'), '404 broker.request')
  assert.equal((await app.request('/v1/charters/..%2f..%2fetc')).status, 400)
  assert.equal((await app.request('/log/../../etc/passwd')).status, 404)
})
