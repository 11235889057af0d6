import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fromBase64, toBase64 } from '@cloister/core/bytes/base64'
import { children, der, derInteger, derOid, derSequence, readDer, TAG } from '@cloister/core/bytes/der'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import type { JsonObject } from '@cloister/core/bytes/json'
import { parseOcsp } from '@cloister/core/crypto/ocsp'
import { readPem } from '@cloister/core/crypto/pem'
import { readDcap, verifyDcap } from '@cloister/core/evidence/dcap/verify'
import { rimCaCertificate, rimSignerCertificate, read as certificateOf, testRoots as nvidiaRoots } from '@cloister/core/evidence/nvidia/nvidia.fixture'
import { CHIP, testRoots } from '@cloister/core/evidence/snp/snp.fixture'
import { orRefuse } from '@cloister/core/refusal'
import { add, arkList, body, DAY, driverRim, file, intelAt, intelEvidence, newStore, NOW, p, rimAnswers, rimFile, roots, vbiosRim, vek } from './collateral.fixture.ts'
import { certificateIds, questionFor } from './nvidia.ts'
import { serveCollateral, type Proxy, type ProxyOptions, type ProxyParts } from './serve.ts'
import type { CollateralStore } from './store.ts'
import { openUpstream, type Fetch } from './upstream.ts'

async function serving(context: TestContext, store: CollateralStore, options: ProxyOptions = {}, parts: ProxyParts = {}): Promise<Proxy> {
  const proxy = await serveCollateral(p, store, options, { now: () => NOW * 1000, roots: roots(), ...parts })
  context.after(() => proxy.close())
  return proxy
}

/** All documents that the fixtures have. */
function fullStore(context: TestContext): CollateralStore {
  const store = newStore(context)
  add(store, file('vek', vek()), file('vek', vek({ product: 'Turin' })), file('vlek', vek({ signer: 'vlek' })), file('crl', arkList()), file('e.json', JSON.stringify(intelEvidence())), file('e.json', JSON.stringify(intelEvidence({ tee: 'sgx' }))),
    rimFile('NV_GPU_DRIVER_GH100_550.90.07.xml', driverRim()), rimFile('x.xml', vbiosRim()), ...rimAnswers().map(one => file('answer', fromBase64(one))))
  return store
}

interface Got { readonly status: number; readonly type: string; readonly bytes: Uint8Array; readonly text: string; readonly headers: Headers }
async function get(url: string, init?: RequestInit): Promise<Got> {
  const response = await fetch(url, init)
  const bytes = new Uint8Array(await response.arrayBuffer())
  return { status: response.status, type: response.headers.get('content-type') ?? '', bytes, text: Buffer.from(bytes).toString(), headers: response.headers }
}
const chip = toHex(CHIP)
const LEVELS = 'blSPL=10&teeSPL=0&snpSPL=23&ucodeSPL=84'

test('AMD: chains, lists and keys at the paths of the key distribution service', async context => {
  const { url } = await serving(context, fullStore(context))
  assert.deepEqual((await get(`${url}/vcek/v1/Genoa/${chip}?${LEVELS}`)).bytes, vek())
  assert.deepEqual((await get(`${url}/vcek/v1/Genoa/${chip.toUpperCase()}?ucodeSPL=84&snpSPL=23&teeSPL=00&blSPL=10`)).bytes, vek(), 'in any order and case')
  const turin = 'fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81'
  assert.deepEqual((await get(`${url}/vcek/v1/Turin/${chip.slice(0, 16)}?${turin}`)).bytes, vek({ product: 'Turin' }))
  assert.deepEqual((await get(`${url}/vcek/v1/Turin/${chip.slice(0, 16)}${'0'.repeat(112)}?${turin}`)).bytes, vek({ product: 'Turin' }), 'as the report writes it')
  assert.deepEqual((await get(`${url}/vlek/v1/Genoa/cert?${LEVELS}`)).bytes, vek({ signer: 'vlek' }))
  for (const [signer, i] of [['vcek', 0], ['vlek', 1]] as const) {
    const chain = await get(`${url}/${signer}/v1/Genoa/cert_chain`)
    const { ark, intermediates } = testRoots('Genoa')
    assert.deepEqual(readPem(chain.text, 'CERTIFICATE'), [intermediates[i]?.der, ark.der])
    assert.deepEqual((await get(`${url}/${signer}/v1/Genoa/crl`)).bytes, arkList())
  }
  const absent = await get(`${url}/vcek/v1/Genoa/${chip}?blSPL=9&teeSPL=0&snpSPL=23&ucodeSPL=84`)
  assert.deepEqual([absent.status, absent.type], [404, 'text/plain; charset=utf-8'])
  assert.match(absent.text, new RegExp(`curl -sf -o document 'https://kdsintf.amd.com/vcek/v1/Genoa/${chip}\\?blSPL=9&teeSPL=0&snpSPL=23&ucodeSPL=84' && cloister collateral add document`))
  assert.equal((await get(`${url}/vcek/v1/Milan/crl`)).status, 404)
})

test('AMD: keys of two providers are not confused', async context => {
  const store = fullStore(context)
  add(store, file('vlek', vek({ signer: 'vlek', extensions: list => list.map(one => (one.oid.endsWith('3704.1.5') ? { ...one, value: der(TAG.ia5String, Buffer.from('other')) } : one)) })))
  const { url } = await serving(context, store)
  const { status, text } = await get(`${url}/vlek/v1/Genoa/cert?${LEVELS}`)
  assert.deepEqual([status, /cloud, other|other, cloud/.test(text)], [404, true])
})

test('Intel: a client that reads quotes takes all it needs from here, and its verifier accepts it', async context => {
  const { url } = await serving(context, fullStore(context))
  for (const tee of ['tdx', 'sgx'] as const) {
    // As the clients do it: fmspc of the PCK certificate, chains from the headers, texts cut out of the bodies.
    const [crl, root, tcb, qe] = await Promise.all(['/sgx/certification/v4/pckcrl?ca=platform&encoding=der', '/sgx/certification/v4/rootcacrl', `/${tee}/certification/v4/tcb?fmspc=00906EA10000&update=standard`, `/${tee}/certification/v4/qe/identity?update=standard`].map(path => get(url + path)))
    assert.ok(crl !== undefined && root !== undefined && tcb !== undefined && qe !== undefined)
    const chain = (got: Got, name: string) => decodeURIComponent(got.headers.get(name) ?? '')
    const cut = (got: Got, name: string) => got.text.slice(`{"${name}":`.length, got.text.lastIndexOf(',"signature"'))
    const signature = (got: Got) => String((JSON.parse(got.text) as JsonObject)['signature'])
    const collateral = {
      tcb_info: cut(tcb, 'tcbInfo'), tcb_info_signature: signature(tcb), tcb_info_issuer_chain: chain(tcb, 'TCB-Info-Issuer-Chain'), qe_identity: cut(qe, 'enclaveIdentity'), qe_identity_signature: signature(qe), qe_identity_issuer_chain: chain(qe, 'SGX-Enclave-Identity-Issuer-Chain'),
      pck_crl: toHex(crl.bytes), root_ca_crl: root.text, pck_crl_issuer_chain: chain(crl, 'SGX-PCK-CRL-Issuer-Chain'),
    }
    assert.equal(verifyDcap(p, readDcap({ kind: tee, quote: intelEvidence({ tee }).quote, collateral }, tee), { now: NOW }, roots().intel).facts.status, 'UpToDate')
    assert.equal(readPem(collateral.pck_crl_issuer_chain, 'CERTIFICATE').length, 2)
    assert.equal(tcb.type, 'application/json')
    assert.match(tcb.headers.get('TCB-Info-Issuer-Chain') ?? '', /^-----BEGIN%20CERTIFICATE-----%0A[A-Za-z0-9%]+%0A-----END%20CERTIFICATE-----%0A-----BEGIN%20CERTIFICATE-----%0A/)
    assert.match(tcb.headers.get('Request-ID') ?? '', /^[0-9a-f]{32}$/)
  }
})

test('Intel: lists in each encoding, under both trees', async context => {
  const { url } = await serving(context, fullStore(context))
  const { pck_crl, root_ca_crl } = intelEvidence().collateral
  const [pck, root] = [fromHex(pck_crl), fromHex(root_ca_crl)]
  for (const tree of ['sgx', 'tdx']) {
    assert.deepEqual(readPem((await get(`${url}/${tree}/certification/v4/pckcrl?ca=platform`)).text, 'X509 CRL'), [pck])
    assert.deepEqual((await get(`${url}/${tree}/certification/v4/pckcrl?ca=platform&encoding=der`)).bytes, pck)
    assert.equal((await get(`${url}/${tree}/certification/v4/rootcacrl`)).text, toHex(root))
    assert.deepEqual((await get(`${url}/${tree}/certification/v4/rootcacrl?encoding=der`)).bytes, root)
  }
  assert.deepEqual((await get(`${url}/IntelSGXRootCA.der`)).bytes, root)
  assert.equal((await get(`${url}/sgx/certification/v4/pckcrl?ca=processor`)).status, 404)
})

test('Intel: standard and early updates, and a number by itself', async context => {
  const store = newStore(context)
  add(store, file('e.json', JSON.stringify(intelAt(NOW - 9 * DAY, NOW + DAY, 17))), file('e.json', JSON.stringify(intelAt(NOW - 5 * DAY, NOW + DAY, 18))), { ...file('e.json', JSON.stringify(intelAt(NOW - DAY, NOW + DAY, 19))), update: 'early' }, file('e.json', JSON.stringify(intelAt(NOW - 9 * DAY, NOW - 8 * DAY, 20))))
  const { url } = await serving(context, store)
  const number = async (query: string) => {
    const numbers = await Promise.all([`tcb?fmspc=00906ea10000&${query}`, `qe/identity?${query}`].map(async path => /"tcbEvaluationDataNumber":(\d+)/.exec((await get(`${url}/tdx/certification/v4/${path}`.replace(/[?&]$/, ''))).text)?.[1]))
    assert.equal(numbers[0], numbers[1])
    return numbers[0]
  }
  assert.deepEqual([await number(''), await number('update=standard'), await number('update=early'), await number('tcbEvaluationDataNumber=17'), await number('tcbEvaluationDataNumber=19'), await number('tcbEvaluationDataNumber=20'), await number('tcbEvaluationDataNumber=16')], ['18', '18', '19', '17', '19', undefined, undefined])
})

test('NVIDIA: manifests as the service wraps them, and OCSP by POST', async context => {
  const { url } = await serving(context, fullStore(context))
  const id = 'NV_GPU_DRIVER_GH100_550.90.07'
  const answer = JSON.parse((await get(`${url}/v1/rim/${id}`)).text) as Record<string, string>
  assert.deepEqual([answer['id'], answer['rim'], answer['rim_format'], answer['sha256']], [id, driverRim(), 'TCG', createHash('sha256').update(fromBase64(driverRim())).digest('hex')])
  assert.equal((JSON.parse((await get(`${url}/v1/rim/NV_GPU_VBIOS_1010_0200_882_96009F0001`)).text) as Record<string, string>)['rim'], vbiosRim(), 'filed without a name, found by its version')
  assert.deepEqual(JSON.parse((await get(`${url}/v1/rim/ids`)).text), { ids: [id] })
  assert.equal((await get(`${url}/v1/rim/NV_GPU_DRIVER_GH100_550.90.08`)).status, 404)
  const ask = (bytes: Uint8Array, path = '/') => get(url + path, { method: 'POST', body: Uint8Array.from(bytes), headers: { 'content-type': 'application/ocsp-request' } })
  const ids = certificateIds(p, certificateOf(rimSignerCertificate()), certificateOf(rimCaCertificate()))
  const asked = questionFor(ids.slice(0, 1))
  for (const path of ['/', '/ocsp']) {
    const good = await ask(asked, path)
    assert.deepEqual([good.type, toBase64(good.bytes)], ['application/ocsp-response', rimAnswers()[0]])
  }
  for (const [question, status] of [[questionFor(certificateIds(p, certificateOf(rimCaCertificate()), certificateOf(rimCaCertificate())).slice(0, 1)), 6], [questionFor(ids.slice(1, 2)), 6], [new Uint8Array([1, 2]), 1], [questionFor([]), 1], [new Uint8Array(0), 1]] as const) {
    assert.deepEqual([...(await ask(question)).bytes], [0x30, 3, 0x0a, 1, status])
  }
  assert.equal(parseOcsp((await ask(asked)).bytes).ok, true)
  const rootIds = certificateIds(p, certificateOf(rimCaCertificate()), nvidiaRoots().rim)
  assert.deepEqual([...(await ask(questionFor([ids[0] ?? '', rootIds[0] ?? '']))).bytes], [0x30, 3, 0x0a, 1, 6], 'an answer about one is none about two')
  // A version, a name, extensions and a signature, as the standard allows them around the list.
  const [list] = children(children(readDer(asked))[0] ?? assert.fail())
  const whole = derSequence(derSequence(der(0xa0, derInteger(new Uint8Array([0]))), der(0xa1, der(0x82, Buffer.from('x'))), list?.whole ?? assert.fail(), der(0xa2, derSequence())), der(0xa0, derSequence()))
  assert.equal(toBase64((await ask(whole)).bytes), rimAnswers()[0])
  const sha3 = derSequence(derSequence(derSequence(derSequence(derSequence(derSequence(derOid('2.16.840.1.101.3.4.2.8')), der(TAG.octetString), der(TAG.octetString), derInteger(new Uint8Array([1])))))))
  for (const question of [sha3, derSequence(), derSequence(derSequence()), derSequence(derSequence(derSequence(derSequence()))), derSequence(derSequence(derSequence(derSequence(derSequence())))), derSequence(derSequence(list?.whole ?? assert.fail()), der(0xa0, derSequence()), derSequence()), questionFor(Array.from({ length: 17 }, () => ids[0] ?? ''))]) {
    assert.deepEqual([...(await ask(question)).bytes], [0x30, 3, 0x0a, 1, 1], toHex(question).slice(0, 80))
  }
})

test('a question that OpenSSL makes is understood, with its nonce', { skip: spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl' }, async context => {
  const store = newStore(context)
  const [, answer = ''] = rimAnswers()
  add(store, file('answer', fromBase64(answer)))
  const { url } = await serving(context, store)
  const pem = (name: string, bytes: Uint8Array) => {
    const path = join(store.folder, name)
    writeFileSync(path, `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`)
    return path
  }
  const out = join(store.folder, 'request.der')
  const [issuer, certificate] = [pem('issuer.pem', nvidiaRoots().rim.der), pem('certificate.pem', rimCaCertificate())]
  execFileSync('openssl', ['ocsp', '-sha384', '-issuer', issuer, '-cert', certificate, '-nonce', '-reqout', out], { stdio: 'ignore' })
  const got = await get(`${url}/ocsp`, { method: 'POST', body: readFileSync(out) })
  assert.equal(toBase64(got.bytes), answer)
})

test('curl takes documents too, with headers as Intel writes them', { skip: spawnSync('curl', ['--version']).status === 0 ? false : 'no curl' }, async context => {
  const { url } = await serving(context, fullStore(context))
  const curl = (...args: string[]) => new Promise<string>((resolve, reject) => execFile('curl', ['-s', ...args], { encoding: 'utf8', timeout: 10_000 }, (error, stdout) => (error === null ? resolve(stdout) : reject(error))))
  assert.match(await curl('-D', '-', '-o', '/dev/null', `${url}/tdx/certification/v4/tcb?fmspc=00906EA10000`), /^HTTP\/1\.1 200 OK\r\n[^]*TCB-Info-Issuer-Chain: -----BEGIN%20CERTIFICATE-----%0A/)
  assert.match(await curl('-I', `${url}/vcek/v1/Genoa/crl`), /^HTTP\/1\.1 200 OK\r\n[^]*content-length: [1-9]/)
  const saved = newStore(context)
  const [headers, document] = [join(saved.folder, 'headers.txt'), join(saved.folder, 'document.json')]
  await curl('-D', headers, '-o', document, `${url}/tdx/certification/v4/tcb?fmspc=00906EA10000`)
  add(saved, file('document.json', new Uint8Array(readFileSync(document))), file('headers.txt', new Uint8Array(readFileSync(headers))))
  assert.deepEqual(saved.list().entries.map(one => one.kind).sort(), ['intel-ca', 'intel-tcb-info'], 'one proxy fills another, by the commands that are shown')
})

// ---- what must not happen --------------------------------------------------------------------------------------------

/** The raw answer to raw bytes: no client in between that mends them. */
function raw(port: number, text: string, more: { readonly keep?: boolean; readonly ms?: number } = {}): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    let got = ''
    socket.on('data', chunk => { got += chunk.toString('latin1') })
    socket.on('close', () => resolve(got))
    socket.on('error', () => undefined)
    socket.write(text)
    if (more.ms !== undefined) setTimeout(() => socket.destroy(), more.ms)
  })
}
const rawGet = async (port: number, target: string, method = 'GET') => /^HTTP\/1\.1 (\d+)/.exec(await raw(port, `${method} ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`))?.[1]

test('no path, name or parameter leads anywhere else', async context => {
  const store = fullStore(context)
  writeFileSync(join(store.folder, '..', 'secret'), 'the secret')
  const { port } = await serving(context, store)
  const bad: [string, string][] = [
    ['/../secret', '400'], ['/v1/rim/../../secret', '400'], ['/v1/rim/..%2f..%2fsecret', '400'], ['/v1/rim/%2e%2e', '400'], ['//etc/passwd', '400'], ['/v1/rim/NV_A\\..\\secret', '400'], ['/v1/rim/secret', '400'], ['/v1/rim/.hidden', '400'], ['/v1/rim/NV_%00', '400'],
    ['/vcek/v1/../crl', '400'], ['/vcek/v1/Milan%2f..%2f/crl', '400'], ['/vcek/v1/Venice/crl', '404'], ['/vcek/v1/milan/crl', '404'], ['/vcek/v1/Genoa/constructor', '400'], ['/vcek/v1/__proto__/crl', '404'], ['/vcek/v1/constructor/crl', '404'], ['/vcek/v1/Genoa/crl?x=1', '400'],
    [`/vcek/v1/Genoa/${chip}?blSPL=256`, '400'], [`/vcek/v1/Genoa/${chip}?blSPL=-1`, '400'], [`/vcek/v1/Genoa/${chip}?blSPL=1&blSPL=1`, '400'], [`/vcek/v1/Genoa/${chip}?fmcSPL=1`, '400'], [`/vcek/v1/Genoa/${chip}?blSPL=0x1`, '400'], [`/vcek/v1/Genoa/${chip.slice(2)}?blSPL=1`, '400'], [`/vcek/v1/Turin/${chip}?blSPL=1`, '400'], ['/vlek/v1/Genoa/0102', '400'],
    ['/tdx/certification/v4/tcb', '400'], ['/tdx/certification/v4/tcb?fmspc=../../x', '400'], ['/tdx/certification/v4/tcb?fmspc=00906ea1000', '400'], ['/tdx/certification/v4/tcb?fmspc=00906ea10000&update=new', '400'], ['/tdx/certification/v4/tcb?fmspc=00906ea10000&update=early&tcbEvaluationDataNumber=18', '400'],
    ['/tdx/certification/v4/tcb?fmspc=00906ea10000&tcbEvaluationDataNumber=0', '400'], ['/sgx/certification/v4/pckcrl', '400'], ['/sgx/certification/v4/pckcrl?ca=root', '400'], ['/sgx/certification/v4/pckcrl?ca=platform&encoding=hex', '400'], ['/sgx/certification/v4/rootcacrl?encoding=pem', '400'], ['/sgx/certification/v4/qe/identity?fmspc=00906ea10000', '400'],
    ['/sgx/certification/v5/tcb', '404'], ['/nothing', '404'], ['/?a=b?c', '400'], ['/?a', '400'], ['/?a=', '400'], ['/?a=1&b=1', '404'], [`/${'a'.repeat(2100)}`, '414'], [`/?${Array.from({ length: 9 }, (_, i) => `${'abcdefghi'[i]}=1`).join('&')}`, '400'], ['http://169.254.169.254/latest', '400'], ['*', '400'],
  ]
  for (const [target, status] of bad) assert.equal(await rawGet(port, target), status, target)
  for (const [method, status] of [['PUT', '405'], ['DELETE', '405'], ['POST', '405'], ['OPTIONS', '405'], ['HEAD', '200']] as const) assert.equal(await rawGet(port, '/vcek/v1/Genoa/crl', method), status, method)
})

test('a huge body, huge headers, a body where none belongs', async context => {
  const { url, port } = await serving(context, fullStore(context))
  assert.match(await raw(port, `POST /ocsp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\nconnection: close\r\n\r\n${'x'.repeat(20_000)}`, { ms: 500 }), /^HTTP\/1\.1 413 /)
  assert.match(await raw(port, `POST /ocsp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n${`1000\r\n${'x'.repeat(4096)}\r\n`.repeat(5)}`, { ms: 500 }), /^HTTP\/1\.1 413 /)
  assert.match(await raw(port, `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(10_000)}\r\n\r\n`, { ms: 500 }), /^HTTP\/1\.1 431 /)
  assert.match(await raw(port, 'GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nconnection: close\r\n\r\nxx', { ms: 500 }), /^HTTP\/1\.1 400 /)
  assert.match(await raw(port, 'nonsense\r\n\r\n', { ms: 500 }), /^HTTP\/1\.1 400 /)
  assert.equal((await get(`${url}/vcek/v1/Genoa/crl`)).status, 200, 'and it still serves')
})

test('slow and silent clients are let go, and others are served meanwhile', async context => {
  const { url, port } = await serving(context, fullStore(context), {}, { limits: { headersMs: 150, requestMs: 300, silentMs: 400, checkMs: 50 } })
  const started = performance.now()
  const slow = Promise.all([raw(port, 'GET / HT'), raw(port, 'POST /ocsp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx'), raw(port, '')])
  assert.equal((await get(`${url}/vcek/v1/Genoa/crl`)).status, 200)
  const [head, cut] = await slow
  assert.ok(performance.now() - started < 3_000)
  assert.match(head, /^HTTP\/1\.1 408 /)
  assert.match(cut, /^HTTP\/1\.1 408 /)
})

test('a client that breaks off is forgotten; closing does not wait for anybody', async context => {
  const lines: string[] = []
  const proxy = await serving(context, fullStore(context), { log: line => lines.push(line) })
  await raw(proxy.port, 'POST /ocsp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx', { ms: 50 })
  while (lines.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
  assert.match(lines[0] ?? '', /^413 POST \/ocsp/)
  const waiting = connect(proxy.port, '127.0.0.1')
  waiting.on('error', () => undefined)
  await new Promise(resolve => waiting.once('connect', resolve))
  waiting.write('GET / HTTP/1.1\r\n')
  await new Promise(resolve => setTimeout(resolve, 50))
  const started = performance.now()
  await proxy.close()
  assert.ok(performance.now() - started < 4_000)
})

test('only so many connections at once', async context => {
  const { url, port } = await serving(context, fullStore(context), {}, { limits: { connections: 3 } })
  const open = Array.from({ length: 3 }, () => connect(port, '127.0.0.1'))
  await Promise.all(open.map(socket => new Promise(resolve => socket.on('connect', resolve))))
  assert.equal(await rawGet(port, '/'), undefined, 'the fourth is closed')
  for (const socket of open) socket.destroy()
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.equal((await get(url)).status, 200)
})

test('a document that is over is kept and not handed out; the newest in force is, whatever was filed last', async context => {
  const store = newStore(context)
  add(store, file('crl', arkList('Genoa', [9], [NOW - 100, NOW + DAY])), file('crl', arkList('Genoa', [], [NOW - DAY, NOW + DAY])), file('crl', arkList('Milan', [], [NOW - 9 * DAY, NOW - 8 * DAY])))
  const { url } = await serving(context, store)
  assert.deepEqual((await get(`${url}/vcek/v1/Genoa/crl`)).bytes, arkList('Genoa', [9], [NOW - 100, NOW + DAY]), 'an older list does not take the place of a newer one')
  const over = await get(`${url}/vcek/v1/Milan/crl`)
  assert.deepEqual([over.status, /AMD revocation list Milan, over since 2025-12-24/.test(over.text)], [404, true])
  const later = await serving(context, store, {}, { now: () => (NOW + 2 * DAY) * 1000 })
  assert.equal((await get(`${later.url}/vcek/v1/Genoa/crl`)).status, 404)
})

test('a byte flipped on the disk: the document is named and not handed out', async context => {
  const store = fullStore(context)
  const { url } = await serving(context, store)
  const entry = store.list().entries.find(one => one.kind === 'amd-crl') ?? assert.fail('no list')
  const path = join(store.folder, entry.digest.slice(7))
  const bytes = readFileSync(path)
  bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1
  writeFileSync(path, bytes)
  const { status, text } = await get(`${url}/vcek/v1/Genoa/crl`)
  assert.deepEqual([status, text.startsWith(`store.corrupt: ${entry.digest.slice(7)}`)], [500, true])
  add(store, file('crl', arkList()))
  assert.equal((await get(`${url}/vcek/v1/Genoa/crl`)).status, 200, 'adding it again mends it')
})

// ---- vendors ---------------------------------------------------------------------------------------------------------

test('nobody is asked unless a vendor was named; then only at the address of the table', async context => {
  const asked: string[] = []
  const fetcher: Fetch = (address, init) => {
    asked.push(`${init.method ?? 'GET'} ${init.redirect} ${address}`)
    return Promise.resolve(new Response(address.endsWith('/crl') ? Uint8Array.from(arkList()) : 'nothing', { status: address.endsWith('/crl') ? 200 : 404 }))
  }
  const store = newStore(context)
  const off = await serving(context, store, {}, { fetcher })
  assert.equal((await get(`${off.url}/vcek/v1/Genoa/crl`)).status, 404)
  assert.deepEqual(asked, [])
  const { url } = await serving(context, store, { upstream: ['amd'] }, { fetcher })
  assert.deepEqual((await get(`${url}/vcek/v1/Genoa/crl`)).bytes, arkList())
  assert.deepEqual((await get(`${url}/vcek/v1/Genoa/crl`)).bytes, arkList())
  assert.deepEqual(asked, ['GET error https://kdsintf.amd.com/vcek/v1/Genoa/crl'], 'once: then it is here')
  assert.deepEqual(store.list().entries.map(one => one.kind), ['amd-crl'])
  assert.equal((await get(`${url}/tdx/certification/v4/qe/identity`)).status, 404)
  assert.equal((await get(`${url}/vlek/v1/Genoa/cert?${LEVELS}`)).status, 404)
  assert.equal(asked.length, 1, 'another vendor, and what the vendor hands to providers only, is not asked for')
  const chipless = await get(`${url}/vcek/v1/Genoa/${chip}?${LEVELS}`)
  assert.match(chipless.text, /the vendor was asked: https:\/\/kdsintf\.amd\.com\/vcek\/v1\/Genoa\/[0-9a-f]{128}\?[A-Za-z=0-9&]+ answered 404/)
  await get(`${url}/vcek/v1/Genoa/${chip}?${LEVELS}`)
  assert.equal(asked.length, 2, 'a failure is remembered')
})

test('what a vendor sends is verified before it is filed; early updates are marked; chains come in headers', async context => {
  const { collateral } = intelEvidence()
  const answer = body('tcbInfo', collateral.tcb_info, collateral.tcb_info_signature)
  const chain = encodeURIComponent(collateral.tcb_info_issuer_chain)
  let sent: Response
  const asked: string[] = []
  const fetcher: Fetch = address => {
    asked.push(address)
    return Promise.resolve(sent)
  }
  const path = '/tdx/certification/v4/tcb?fmspc=00906EA10000'
  const attempts = async (response: Response, query = '') => {
    sent = response
    const store = newStore(context)
    const { url } = await serving(context, store, { upstream: ['intel'] }, { fetcher })
    const { status, text } = await get(url + path + query)
    return { status, text, entries: store.list().entries }
  }
  const good = await attempts(new Response(answer, { headers: { 'TCB-Info-Issuer-Chain': chain } }))
  assert.deepEqual([good.status, good.text, good.entries.length], [200, answer, 2])
  const forged = await attempts(new Response(answer.replace('UpToDate', 'upToDate'), { headers: { 'TCB-Info-Issuer-Chain': chain } }))
  assert.equal(forged.status, 404)
  assert.match(forged.text, /what the vendor sent was refused: evidence\.collateral at tcbInfo/)
  assert.deepEqual(forged.entries.map(one => one.kind), ['intel-ca'])
  assert.match((await attempts(new Response(answer))).text, /refused: x509\.issuer/)
  const early = await attempts(new Response(answer, { headers: { 'TCB-Info-Issuer-Chain': chain } }), '&update=early')
  assert.deepEqual([early.status, early.entries.find(one => one.kind === 'intel-tcb-info')?.about['update']], [200, 'early'])
  assert.equal(asked.at(-1), 'https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00906EA10000&update=early')
  const other = await attempts(new Response(body('enclaveIdentity', collateral.qe_identity, collateral.qe_identity_signature), { headers: { 'TCB-Info-Issuer-Chain': chain } }))
  assert.match(other.text, /the vendor sent another document/)
  assert.match((await attempts(new Response('x'.repeat(5 * 1024 * 1024)))).text, /sent more than 4194304 bytes/)
  assert.match((await attempts(new Response('busy', { status: 429 }))).text, /answered 429/)
})

test('a vendor that does not answer: one question at a time for one document, and not too many at once', async context => {
  const release: (() => void)[] = []
  const fetcher: Fetch = () => new Promise((_, reject) => release.push(() => reject(new Error('no route'))))
  const { url } = await serving(context, newStore(context), { upstream: ['amd'] }, { fetcher })
  const key = (level: number) => get(`${url}/vcek/v1/Genoa/${chip}?blSPL=${level}`)
  const same = [key(1), key(1), key(1)]
  const more = [key(2), key(3), key(4)]
  while (release.length < 4) await new Promise(resolve => setTimeout(resolve, 5))
  assert.match((await key(5)).text, /too many questions to vendors at once/)
  assert.equal(release.length, 4)
  for (const one of release) one()
  for (const { status, text } of await Promise.all([...same, ...more])) assert.ok(status === 404 && text.includes('no route'))
})

test('a failure is forgotten after a minute; each request is a line of the log; a port that is taken is said', async context => {
  let [clock, asked] = [NOW * 1000, 0]
  const fetcher: Fetch = () => Promise.resolve(new Response(++asked === 1 ? null : Uint8Array.from(arkList()), { status: asked === 1 ? 503 : 200 }))
  const lines: string[] = []
  const { url, port } = await serving(context, newStore(context), { upstream: ['amd'], log: line => lines.push(line) }, { fetcher, now: () => clock })
  const path = '/vcek/v1/Genoa/crl'
  assert.deepEqual([(await get(url + path)).status, (await get(url + path)).status, asked], [404, 404, 1])
  clock += 60_000
  assert.deepEqual([(await get(url + path)).status, asked], [200, 2])
  assert.deepEqual(lines, [`404 GET ${path} not here: amd-crl for now; there is nothing like it`, `404 GET ${path} not here: amd-crl for now; there is nothing like it`, `200 GET ${path}`])
  await assert.rejects(serveCollateral(p, newStore(context), { port }), /EADDRINUSE/)
})

test('a vendor that hangs, before its answer or in it, and one that sends the question elsewhere', async context => {
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    if (request.url === '/drip') response.write('x')
    if (request.url === '/moved') response.writeHead(302, { location: '/secret' }).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  context.after(() => { server.closeAllConnections(); server.close() })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  for (const [path, why] of [['/hang', /timeout/], ['/drip', /timeout/], ['/moved', /redirect|fetch failed/]] as const) {
    const vendors = openUpstream(['amd'], () => 0, (_, init) => fetch(`http://127.0.0.1:${port}${path}`, init), 150)
    const result = await vendors.ask({ what: 'amd-crl', product: 'Genoa', signer: 'vcek' })
    assert.ok(result?.ok === false)
    assert.match(result.why, why, path)
  }
  assert.deepEqual(paths, ['/hang', '/drip', '/moved'], 'no redirect is followed')
})

test('a page that had another name point to this machine is turned away', async context => {
  const { port } = await serving(context, fullStore(context))
  const status = async (host: string) => /^HTTP\/1\.1 (\d+)/.exec(await raw(port, `GET /vcek/v1/Genoa/crl HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`))?.[1]
  for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', `127.0.0.1:${port}`, '127.1.2.3', '[::1]', `[::1]:${port}`, 'LOCALHOST']) assert.equal(await status(host), '200', host)
  for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '169.254.169.254', 'x@localhost', '127.0.0.1:99999999']) assert.equal(await status(host), '421', host)
})

test('an answer of a responder is asked for by POST with the same question, without the nonce', async context => {
  const [answer = ''] = rimAnswers()
  const asked: string[] = []
  const fetcher: Fetch = (address, init) => {
    // The proxy sends bytes.
    asked.push(`${init.method} ${address} ${toHex(init.body as Uint8Array)}`)
    return Promise.resolve(new Response(Uint8Array.from(fromBase64(answer))))
  }
  const store = newStore(context)
  add(store, rimFile('x.xml', driverRim()))
  const { url } = await serving(context, store, { upstream: ['nvidia'] }, { fetcher })
  const question = questionFor(certificateIds(p, certificateOf(rimSignerCertificate()), certificateOf(rimCaCertificate())).slice(0, 1))
  const got = await get(`${url}/ocsp`, { method: 'POST', body: Uint8Array.from(question) })
  assert.equal(toBase64(got.bytes), answer)
  assert.deepEqual(asked, [`POST https://ocsp.ndis.nvidia.com/ ${toHex(question)}`])
  assert.ok(orRefuse(parseOcsp(got.bytes)).answers.length === 1)
})
