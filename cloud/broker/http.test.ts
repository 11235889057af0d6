import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64Url } from '@cloister/core/bytes/base64'
import { concat } from '@cloister/core/bytes/bytes'
import { utf8 } from '@cloister/core/bytes/text'
import { actBytes, webauthnAct, type Act, type ActBody } from '@cloister/core/charter/acts'
import { emergencySubject } from '@cloister/core/charter/emergency'
import { webauthnChallenge, webauthnKey } from '@cloister/core/charter/keys'
import { ecdsaToDer } from '@cloister/core/crypto/keys'
import { orRefuse } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p } from '../crypto/node.ts'
import { brokerApp, serveBroker } from './http.ts'
import { actOf, ask, charterJson, newWorld, openKeys, ready } from './world.fixture.ts'

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

test('http: acts of every kind travel on one path, a passkey\'s assertion among them, and nothing beside them', async () => {
  const person = generateSigner('p256')
  const key = webauthnKey('bank.example', person.publicKey)
  const world = newWorld({ edit: charter => {
    const parties = charter['parties'] as Record<string, { keys: string[] }> // the fixture's own
    parties['carol'] = { keys: [key] }
    charter['change'] = { ...(charter['change'] as object), emergency: { of: ['carol'], need: 1, lasts: '4h' } } // the fixture's own
  } })
  const app = brokerApp(await world.open())
  const post = async (path: string, body: unknown) => {
    const response = await app.request(path, { method: 'POST', body: JSON.stringify(body) })
    const answer = await response.json() as { refusal?: { code: string }; effective?: boolean } // these are looked at
    return `${response.status} ${answer.refusal?.code ?? answer.effective ?? 'ok'}`
  }
  const assertion = (body: ActBody): Act => {
    const clientDataJSON = utf8(JSON.stringify({ type: 'webauthn.get', challenge: toBase64Url(webauthnChallenge(p, actBytes(body))), origin: 'https://bank.example', crossOrigin: false }))
    const authenticatorData = concat(p.hash('sha256', utf8('bank.example')), new Uint8Array([0x05, 0, 0, 0, 0]))
    return webauthnAct(body, key, { authenticatorData, clientDataJSON, signature: ecdsaToDer(person.sign(concat(authenticatorData, p.hash('sha256', clientDataJSON)))) })
  }
  const about = { lineage: world.lineage, digest: world.lineage, epoch: 1, party: 'carol' } as const
  const founding = [...['alpha', 'bravo'].map(party => actOf(world, party, 'approve', world.charter)), assertion({ ...about, verb: 'approve' })]
  assert.equal(await post('/v1/charters', { charter: charterJson(world.charter), acts: founding.slice(0, 2) }), '403 charter.not-approved')
  assert.equal(await post('/v1/charters', { charter: charterJson(world.charter), acts: founding }), '200 ok')
  const until = `${new Date((world.now + 3600) * 1000).toISOString().slice(0, 19)}Z`
  const act = assertion({ ...about, verb: 'emergency', subject: emergencySubject(1, { asset: 'b-claims', to: 'match', can: 'use', until }) })
  assert.equal(await post('/v1/acts', { act: { ...act, webauthn: { ...act.webauthn, userHandle: 'AA==' } } }), '403 charter.act')
  assert.equal(await post('/v1/acts', { act: { ...act, verb: 'revoke' } }), '403 charter.act')
  assert.equal(await post('/v1/acts', { act, grant: {} }), '400 broker.request')
  assert.equal(await post('/v1/acts', { act }), '200 true')
  assert.equal(await post('/v1/acts', { act }), '403 emergency.bounds')
})
