// The life of a charter by its commands: change requests on disk, three parties on machines of their own, a broker whose
// clock moves when it is told to, and a real local cloud.
import assert from 'node:assert/strict'
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Refused } from '@cloister/core/refusal'
import { canonicalCharter } from '@cloister/core/charter/canonical'
import { webauthnKey } from '@cloister/core/charter/keys'
import { serveBroker } from '../broker/http.ts'
import { newWorld, ready } from '../broker/world.fixture.ts'
import { generateSigner, nodePrimitives as p, type LocalSigner } from '../crypto/node.ts'
import { keyId, LIMITS } from './change.ts'
import { emergency } from './emergency.ts'
import { key } from './key.ts'
import { act, atOnce, plan, propose } from './life.ts'
import { charterText, KEYS, publicKey } from './life.fixture.ts'
import { openLocalCloud } from './local-cloud.ts'
import { give } from './recover.ts'
import type { Screen } from './screen.ts'
import { exit, rotate } from './successions.ts'
import { status } from './status.ts'
import { why } from './why.ts'

const root = mkdtempSync(join(tmpdir(), 'cloister-life-'))
after(() => rmSync(root, { recursive: true, force: true }))

interface Said { value: Record<string, unknown>; lines: string }
/** Run a command; its result and what people saw, or the code and place of its refusal. */
async function did(command: (screen: Screen) => Promise<void> | void): Promise<Said> {
  const said: Said = { value: {}, lines: '' }
  const line = (text = '') => { said.lines += `${text}\n` }
  await command({ json: false, timings: {}, step: line, say: line, warn: line, ok: line, bad: line, close: () => undefined, result: value => { said.value = value as Said['value'] } }) // results are objects
  return said
}
async function refusedWith(command: (screen: Screen) => Promise<void> | void): Promise<string> {
  try {
    await did(command)
  } catch (error) {
    if (error instanceof Refused) return `${error.refusal.code} ${error.refusal.at} ${error.refusal.got} ${error.refusal.fix ?? ''}`
    throw error
  }
  return 'accepted'
}

let count = 0
const folder = (name: string) => { const path = join(root, `${count++}-${name}`); mkdirSync(join(path, 'keys'), { recursive: true }); return path }
const giveKey = (home: string, name: string, signer: LocalSigner) => writeFileSync(join(home, 'keys', `${name}.key`), signer.exportPem(), { mode: 0o600 })
/** A folder with the charter of the three owners and the keys of some of them. */
function machine(...parties: (keyof typeof KEYS)[]): string {
  const home = folder(parties.join('-'))
  writeFileSync(join(home, 'charter.yaml'), charterText('0s'))
  for (const party of parties) KEYS[party].forEach((signer, i) => giveKey(home, i === 0 ? party : `${party}.${i}`, signer))
  return home
}
const edit = (home: string, change: (text: string) => string) => writeFileSync(join(home, 'charter.yaml'), change(readFileSync(join(home, 'charter.yaml'), 'utf8')))
const carry = (from: string, ...to: string[]) => { for (const home of to) { cpSync(join(from, 'changes'), join(home, 'changes'), { recursive: true }); cpSync(join(from, 'charter.yaml'), join(home, 'charter.yaml')) } }
const changeIn = (home: string, epoch: number) => join(home, 'changes', readdirSync(join(home, 'changes')).find(name => name.startsWith(`000${epoch}-`)) ?? '')
async function founded(...homes: string[]): Promise<void> {
  const [first = ''] = homes
  await did(screen => propose(screen, first, {}))
  carry(first, ...homes.slice(1))
  for (const home of homes) for (const party of ['alpha', 'bravo', 'carol']) if (existsSync(join(home, 'keys', `${party}.key`))) await did(screen => act(screen, 'approve', home, { party }))
  for (const home of homes.slice(1)) carry(home, first)
  carry(first, ...homes.slice(1))
}

test('three machines found a charter by copying files; none of them has all keys', async () => {
  const [a, b, c] = [machine('alpha'), machine('bravo'), machine('carol')] as const
  await did(screen => propose(screen, a, {}))
  carry(a, b, c)
  await did(screen => act(screen, 'approve', a, { party: 'alpha' }))
  assert.match(await refusedWith(screen => plan(screen, a, { requireApproved: true })), /^charter\.not-approved .*missing: bravo, carol.*cloister approve/)
  await did(screen => act(screen, 'approve', b, { party: 'bravo' }))
  await did(screen => act(screen, 'approve', c, { party: 'carol' }))
  assert.match(await refusedWith(screen => act(screen, 'approve', c, { party: 'alpha' })), /^cli\.key .*alpha\.key no such file/)
  assert.match(await refusedWith(screen => act(screen, 'approve', c, { party: 'mallory' })), /^cli\.key parties\.mallory/)
  assert.match(await refusedWith(screen => act(screen, 'approve', c, {})), /^cli\.usage --party/)
  carry(b, a)
  carry(c, a)
  assert.equal((await did(screen => plan(screen, a, { requireApproved: true }))).value['change'], 'new')
  const cloud = await openLocalCloud()
  const other = await openLocalCloud()
  try {
    assert.match(await refusedWith(screen => status(screen, a, { cloud: cloud.url })), /^head\.unknown-charter/)
    assert.match(await refusedWith(screen => act(screen, 'enact', b, { cloud: cloud.url })), /^charter\.not-approved .*cloister approve .*--party alpha/)
    const sent = await did(screen => act(screen, 'enact', a, { cloud: cloud.url }))
    assert.equal(sent.value['inForce'], true)
    const size = () => fetch(`${cloud.url}/log/checkpoint`).then(async answer => (await answer.text()).split('\n')[1])
    const before = await size()
    assert.equal((await did(screen => act(screen, 'enact', a, { cloud: cloud.url }))).value['inForce'], true)
    assert.equal(await size(), before, 'said again, nothing is logged again')
    assert.match((await did(screen => plan(screen, a, { cloud: cloud.url }))).lines, /in force now/)
    const shown = await did(screen => status(screen, a, { cloud: cloud.url }))
    assert.equal(shown.value['epoch'], 1)
    assert.match(shown.lines, /NOT CHECKED/)
    const policy = join(a, 'log.policy')
    writeFileSync(policy, cloud.policy)
    const checked = await did(screen => status(screen, a, { cloud: cloud.url, policy }))
    assert.equal((checked.value['head'] as { witnesses: number }).witnesses, 1)
    assert.doesNotMatch(checked.lines, /NOT CHECKED/)
    writeFileSync(policy, other.policy)
    assert.match(await refusedWith(screen => status(screen, a, { cloud: cloud.url, policy })), /^log\.(origin|signature|witnesses)/)
  } finally {
    await cloud.close()
    await other.close()
  }
})

test('plan shows a draft as propose will write it; propose fills in epoch and prev, and --check holds it to its text', async () => {
  const home = machine('alpha', 'bravo', 'carol')
  await founded(home)
  edit(home, text => text.replace('atLeast: 10', 'atLeast: 5'))
  const draft = await did(screen => plan(screen, home, {}))
  assert.equal(draft.value['change'], 'widen')
  assert.deepEqual((draft.value['differences'] as string[]).filter(line => line.startsWith('+')), ['+ grants.a-claims → match (read).out.aggregate.atLeast: 5', '+ grants.b-claims → match (read).out.aggregate.atLeast: 5'])
  assert.match(draft.lines, /alpha and bravo together can open c-claims without its owner carol/)
  assert.match(await refusedWith(screen => propose(screen, home, { check: true })), /^charter\.change .*epoch 1 cloister propose/)
  assert.match(await refusedWith(screen => act(screen, 'approve', home, { party: 'alpha' })), /^charter\.change .*none cloister propose/)
  await did(screen => propose(screen, home, {}))
  assert.match(readFileSync(join(home, 'charter.yaml'), 'utf8'), /^epoch: 2 {3}# the first\nprev: sha256:/m, 'what people wrote stays')
  await did(screen => propose(screen, home, { check: true }))
  const at = changeIn(home, 2)
  await did(screen => propose(screen, at, { check: true }))
  edit(home, text => `${text}# another word\n`)
  assert.match(await refusedWith(screen => propose(screen, home, { check: true })), /^charter\.change .*same meaning/)
  await did(screen => propose(screen, home, {}))
  await did(screen => propose(screen, home, { check: true }))
  writeFileSync(join(at, 'CHANGE.md'), readFileSync(join(at, 'CHANGE.md'), 'utf8').replace('it widens', 'it narrows'))
  for (const command of [(screen: Screen) => propose(screen, home, { check: true }), (screen: Screen) => act(screen, 'approve', at, { party: 'alpha' }), (screen: Screen) => plan(screen, at, {})]) assert.match(await refusedWith(command), /^charter\.change CHANGE\.md:1 .*it narrows/)
})

test('what another version wrote into the CHANGE.md of history does not stop the next change', async () => {
  const home = machine('alpha', 'bravo', 'carol')
  await founded(home)
  writeFileSync(join(changeIn(home, 1), 'CHANGE.md'), '# In other words\n')
  edit(home, text => text.replace('atLeast: 10', 'atLeast: 20'))
  assert.equal((await did(screen => propose(screen, home, {}))).value['verb'], 'propose')
})

test('the charter in force is named when it could be either: the one before, or the approved one', async () => {
  const home = machine('alpha', 'bravo', 'carol')
  await founded(home)
  edit(home, text => text.replace('atLeast: 10', 'atLeast: 5'))
  await did(screen => propose(screen, home, {}))
  for (const party of ['alpha', 'bravo', 'carol']) await did(screen => act(screen, 'approve', home, { party }))
  edit(home, text => text.replace('[simulated, snp]', '[snp]'))
  assert.match(await refusedWith(screen => propose(screen, home, {})), /^cli\.usage --against .*to follow it, --against .*to be its rival/)
  const second = changeIn(home, 2)
  assert.equal((await did(screen => plan(screen, home, { against: changeIn(home, 1) }))).value['epoch'], 2)
  assert.equal((await did(screen => propose(screen, home, { against: second }))).value['verb'], 'propose')
  assert.match(readFileSync(join(home, 'charter.yaml'), 'utf8'), /^epoch: 3/m)
  assert.equal((await did(screen => plan(screen, home, { against: second }))).value['epoch'], 3)
  assert.match(await refusedWith(screen => plan(screen, home, { against: changeIn(home, 1) })), /^charter\.not-a-successor prev/)
  const elsewhere = machine('alpha', 'bravo', 'carol')
  edit(elsewhere, text => text.replace('name: room', 'name: other'))
  await founded(elsewhere)
  assert.match(await refusedWith(screen => plan(screen, home, { against: elsewhere })), /^charter\.lineage/)
  const alone = folder('alone')
  cpSync(join(home, 'charter.yaml'), join(alone, 'charter.yaml'))
  assert.match(await refusedWith(screen => plan(screen, alone, {})), /^cli\.usage --against/)
})

test('a branch does not choose where files go: links, strange names and other folders are refused', async () => {
  const home = machine('alpha', 'bravo', 'carol')
  await founded(home)
  const at = changeIn(home, 1)
  const target = join(home, 'keys', 'alpha.key')
  const before = readFileSync(target, 'utf8')
  rmSync(join(at, 'CHANGE.md'))
  symlinkSync(target, join(at, 'CHANGE.md'))
  assert.match(await refusedWith(screen => plan(screen, at, {})), /^charter\.change .*something else/)
  await did(screen => propose(screen, home, {}))
  assert.equal(readFileSync(target, 'utf8'), before, 'written beside the link, not through it')
  assert.ok(statSync(join(at, 'CHANGE.md')).isFile())
  renameSync(join(at, 'approvals'), join(home, 'moved'))
  symlinkSync(join(home, 'moved'), join(at, 'approvals'))
  assert.match(await refusedWith(screen => act(screen, 'approve', at, { party: 'alpha' })), /^charter\.change .*approvals something else/)
  rmSync(join(at, 'approvals'))
  writeFileSync(join(at, 'x\u001b[2J'), '')
  assert.match(await refusedWith(screen => plan(screen, at, {})), /^charter\.change .*a name that is not plain text/)
  rmSync(join(at, 'x\u001b[2J'))
  mkdirSync(join(at, 'vetoes'))
  for (let i = 0; i < LIMITS.files; i++) writeFileSync(join(at, 'vetoes', `v${i}`), '')
  assert.match(await refusedWith(screen => plan(screen, at, {})), /^charter\.change .*0001-[0-9a-f]{12} more/)
  rmSync(join(at, 'vetoes'), { recursive: true })
  renameSync(at, join(home, 'changes', '0001-000000000000'))
  assert.match(await refusedWith(screen => plan(screen, join(home, 'changes', '0001-000000000000'), {})), /^charter\.change .*0001-000000000000/)
  rmSync(join(home, 'changes'), { recursive: true })
  symlinkSync(tmpdir(), join(home, 'changes'))
  assert.match(await refusedWith(screen => propose(screen, home, {})), /^charter\.change .*changes a link/)
})

test('keys that live elsewhere: bytes out, signature in, verified before anything is written', async () => {
  const [laptop, token] = [generateSigner('ed25519'), generateSigner('p256')]
  const passkey = webauthnKey('bank.example', token.publicKey)
  const home = folder('elsewhere')
  const keys = [publicKey(laptop), publicKey(generateSigner('p256')), passkey]
  writeFileSync(join(home, 'charter.yaml'), charterText('0s').replace(`"${publicKey(KEYS.alpha[0])}"`, keys.map(key => `"${key}"`).join(', ')))
  const made = await did(screen => propose(screen, home, {}))
  const [bytes, signature] = [join(home, 'to-sign'), join(home, 'signature')]
  const printed = await did(screen => act(screen, 'approve', home, { party: 'alpha', print: bytes }))
  const told = printed.value['toSign'] as Record<string, string>
  const message = readFileSync(bytes)
  const digest = createHash('sha256').update(message).digest()
  assert.deepEqual([told['sha256'], told['sha256Base64url']], [digest.toString('hex'), digest.toString('base64url')])
  assert.match(await refusedWith(screen => act(screen, 'approve', home, { party: 'alpha', print: bytes })), /^cli\.file/)
  const bring = (key: string, content: Uint8Array | string) => {
    writeFileSync(signature, content)
    return (screen: Screen) => act(screen, 'approve', home, { party: 'alpha', signature, key: keyId(p, key) })
  }
  const approvals = () => (existsSync(join(String(made.value['change']), 'approvals')) ? readdirSync(join(String(made.value['change']), 'approvals')).length : 0)
  assert.match(await refusedWith(bring(publicKey(laptop), laptop.sign(new Uint8Array([...message, 0])))), /^crypto\.signature/)
  assert.match(await refusedWith(bring(publicKey(laptop), 'nonsense')), /^crypto\.signature/)
  assert.match(await refusedWith(screen => act(screen, 'approve', home, { party: 'alpha', signature })), /^cli\.key --key/)
  assert.match(await refusedWith(screen => act(screen, 'approve', home, { party: 'alpha', signature, key: 'ed25519:00' })), /^cli\.key --key/)
  assert.equal(approvals(), 0)
  await did(bring(publicKey(laptop), Buffer.from(laptop.sign(message)).toString('base64')))
  assert.equal(approvals(), 1)
  const client = Buffer.from(JSON.stringify({ type: 'webauthn.get', challenge: told['sha256Base64url'], origin: 'https://bank.example', crossOrigin: false }))
  const data = Buffer.concat([createHash('sha256').update('bank.example').digest(), Buffer.from([0x05, 0, 0, 0, 1])])
  const der = sign('sha256', Buffer.concat([data, createHash('sha256').update(client).digest()]), createPrivateKey(token.exportPem()))
  const credential = { id: 'x', type: 'public-key', response: { authenticatorData: data.toString('base64url'), clientDataJSON: client.toString('base64url'), signature: der.toString('base64url') } }
  assert.match(await refusedWith(bring(passkey, JSON.stringify({ ...credential, response: { ...credential.response, authenticatorData: undefined } }))), /^crypto\.signature .*authenticatorData/)
  assert.match(await refusedWith(bring(passkey, JSON.stringify({ ...credential, response: { ...credential.response, clientDataJSON: Buffer.from('{}').toString('base64url') } }))), /^crypto\.signature/)
  await did(bring(passkey, JSON.stringify(credential)))
  await did(bring(passkey, JSON.stringify(credential.response)))
  assert.equal(approvals(), 2)
})

test('a P-256 signature counts raw and in DER, from tools of either habit', async () => {
  const key = generateSigner('p256')
  const home = folder('der')
  writeFileSync(join(home, 'charter.yaml'), charterText('0s').replace(publicKey(KEYS.alpha[0]), publicKey(key)))
  await did(screen => propose(screen, home, {}))
  const [bytes, signature] = [join(home, 'to-sign'), join(home, 'signature')]
  await did(screen => act(screen, 'approve', home, { party: 'alpha', print: bytes }))
  for (const content of [key.sign(readFileSync(bytes)), sign('sha256', readFileSync(bytes), createPrivateKey(key.exportPem()))]) {
    writeFileSync(signature, content)
    assert.equal((await did(screen => act(screen, 'approve', home, { party: 'alpha', signature }))).value['verb'], 'approve')
  }
  writeFileSync(signature, new Uint8Array(70).fill(0x80))
  assert.match(await refusedWith(screen => act(screen, 'approve', home, { party: 'alpha', signature })), /^crypto\.signature/)
})

test('a widening over two machines and a clock: signed by files, held by the notice, sent without a key, vetoed, stale', async context => {
  const world = newWorld({ notice: '1h' })
  const served = await serveBroker(await ready(world))
  context.after(() => served.close())
  const cloud = served.url
  const [a, b, ci] = [folder('a'), folder('b'), folder('ci')]
  for (const home of [a, b, ci]) writeFileSync(join(home, 'charter.json'), new TextDecoder().decode(canonicalCharter(world.charter)))
  giveKey(a, 'alpha', world.parties['alpha'] as LocalSigner) // as the fixture makes them
  giveKey(b, 'bravo', world.parties['bravo'] as LocalSigner)
  const wider = (home: string, uses: number) => writeFileSync(join(home, 'charter.json'), readFileSync(join(home, 'charter.json'), 'utf8').replaceAll(/"uses":\s*\d+/g, `"uses":${uses}`))
  const share = (from: string, ...to: string[]) => { for (const home of to) { cpSync(join(from, 'changes'), join(home, 'changes'), { recursive: true }); cpSync(join(from, 'charter.json'), join(home, 'charter.json')) } }
  await did(screen => propose(screen, a, {}))
  wider(a, 9)
  const proposed = await did(screen => propose(screen, a, { party: 'alpha', cloud }))
  assert.deepEqual([proposed.value['sent'], proposed.value['inForce']], [['propose alpha'], false])
  share(a, b)
  await did(screen => act(screen, 'approve', a, { party: 'alpha' }))
  await did(screen => act(screen, 'approve', b, { party: 'bravo' }))
  share(a, ci)
  share(b, ci)
  assert.match(await refusedWith(screen => plan(screen, ci, { requireApproved: true })), /^cli\.usage --require-approved/, 'who wrote the change could have invented what it is on top of')
  await did(screen => plan(screen, ci, { requireApproved: true, cloud }))
  await did(screen => plan(screen, ci, { requireApproved: true, against: changeIn(ci, 1) }))
  assert.match(await refusedWith(screen => act(screen, 'enact', ci, { cloud })), /^charter\.act enactments none/)
  await did(screen => act(screen, 'enact', b, { party: 'bravo' }))
  share(b, ci)
  assert.match(await refusedWith(screen => act(screen, 'enact', ci, { cloud })), /^charter\.notice/)
  const shown = await did(screen => status(screen, ci, { cloud }))
  const [open] = shown.value['proposals'] as { earliest: string; standing: { approved: boolean } }[]
  assert.deepEqual([open?.standing.approved, open?.earliest], [true, new Date((world.now + 3600) * 1000).toISOString().replace('.000', '')])
  assert.match((await did(screen => plan(screen, changeIn(ci, 2), { cloud }))).lines, /earliest enactment/)
  world.now += 3600
  const enacted = await did(screen => act(screen, 'enact', ci, { cloud }))
  assert.deepEqual([enacted.value['sent'], enacted.value['inForce']], [['enact bravo'], true])
  assert.deepEqual((await did(screen => act(screen, 'enact', ci, { cloud }))).value['sent'], [], 'what is in force is not sent again')
  assert.match((await did(screen => plan(screen, changeIn(ci, 2), { cloud }))).lines, /in force now/)

  wider(a, 12)
  const third = String((await did(screen => propose(screen, a, { party: 'alpha', cloud }))).value['change'])
  share(a, b)
  await did(screen => act(screen, 'approve', a, { party: 'alpha', cloud }))
  const vetoed = await did(screen => act(screen, 'veto', b, { party: 'bravo', cloud }))
  assert.deepEqual(vetoed.value['sent'], ['veto bravo'])
  assert.match(await refusedWith(screen => act(screen, 'enact', third, { party: 'alpha', cloud })), /^charter\.stale-proposal/)
  share(b, a)
  assert.match(await refusedWith(screen => plan(screen, a, { requireApproved: true, cloud })), /^charter\.not-approved .*vetoed by bravo/)
  assert.match(await refusedWith(screen => act(screen, 'approve', b, { party: 'bravo' })), /^charter\.act .*bravo vetoed/)

  wider(b, 4)
  await did(screen => propose(screen, b, { against: changeIn(b, 2), party: 'bravo' }))
  await did(screen => act(screen, 'approve', b, { party: 'bravo' }))
  share(b, a)
  for (const verb of ['approve', 'enact'] as const) await did(screen => act(screen, verb, a, { party: 'alpha', cloud }))
  assert.equal((await did(screen => status(screen, a, { cloud }))).value['epoch'], 3, 'both owners narrowed: at once')
  assert.match(await refusedWith(screen => act(screen, 'approve', third, { party: 'alpha', cloud })), /^charter\.(stale-proposal|not-approved)/)
  assert.match((await did(screen => plan(screen, third, { cloud }))).lines, /STALE/)
  assert.match(await refusedWith(screen => plan(screen, third, { cloud, requireApproved: true })), /^charter\.stale-proposal/)
  assert.match((await did(screen => plan(screen, changeIn(ci, 2), { cloud }))).lines, /was in force; the newest is/)
})

test('revoke, emergency, rotate and exit on a real local cloud, and why says what holds', async () => {
  const home = machine('alpha', 'bravo', 'carol')
  const cloud = await openLocalCloud()
  const at = { cloud: cloud.url }
  try {
    await founded(home)
    await did(screen => act(screen, 'enact', home, at))
    await did(screen => why(screen, home, { asset: 'a-claims', ...at }))
    for (const [subject, code] of [['asset nothing', /^asset\.unknown --subject/], ['program nothing', /^program\.unknown --subject/], ['grant a-claims → match', /^cli\.usage .*cloister propose/]] as const) assert.match(await refusedWith(screen => atOnce(screen, 'revoke', home, { party: 'alpha', subject, ...at })), code)
    assert.equal((await did(screen => atOnce(screen, 'revoke', home, { party: 'alpha', subject: 'program match', ...at }))).value['effective'], false)
    assert.match((await did(screen => status(screen, home, at))).lines, /alpha wants program:match revoked/)
    assert.equal((await did(screen => atOnce(screen, 'revoke', home, { party: 'bravo', subject: 'asset b-claims', ...at }))).value['effective'], true)
    assert.match(await refusedWith(screen => why(screen, home, { asset: 'b-claims', ...at })), /^charter\.revoked assets\.b-claims .*cloister put/)

    const grant = join(home, 'grant.json')
    writeFileSync(grant, JSON.stringify({ asset: 'c-claims', to: 'match', can: 'use' }))
    assert.match(await refusedWith(screen => emergency(screen, home, { party: 'alpha', ...at })), /^cli\.usage --grant none is waiting/)
    assert.match(await refusedWith(screen => emergency(screen, home, { party: 'carol', grant, ...at })), /^charter\.act act\.party/, 'not of the quorum')
    assert.match(await refusedWith(screen => emergency(screen, home, { party: 'alpha', grant, for: 'long', ...at })), /^cli\.usage --for/)
    const asked = await did(screen => emergency(screen, home, { party: 'alpha', grant, for: '9d', ...at }))
    assert.equal(asked.value['effective'], false)
    assert.ok(Date.parse(String(asked.value['until'])) <= Date.now() + 4 * 3600_000, 'never longer than the charter allows')
    assert.match(await refusedWith(screen => emergency(screen, home, { party: 'bravo', ...at })), /--join 1/)
    assert.match(await refusedWith(screen => emergency(screen, home, { party: 'bravo', join: '2', ...at })), /^emergency\.bounds --join/)
    const joined = await did(screen => emergency(screen, home, { party: 'bravo', join: '1', ...at }))
    assert.equal(joined.value['effective'], true)
    for (const command of [(screen: Screen) => status(screen, home, at), (screen: Screen) => plan(screen, home, at)]) assert.match((await did(command)).lines, /EMERGENCY 1 RUNS until .*c-claims → match/)
    writeFileSync(grant, JSON.stringify({ asset: 'c-claims', to: 'match', can: 'use', until: '2099-01-01T00:00:00Z' }))
    assert.match(await refusedWith(screen => emergency(screen, home, { party: 'alpha', grant, ...at })), /^cli\.usage --grant/)

    assert.match(await refusedWith(screen => rotate(screen, home, { party: 'alpha', asset: 'c-claims', ...at })), /^charter\.act act\.party/, 'not its owner')
    assert.equal((await did(screen => rotate(screen, home, { party: 'carol', asset: 'c-claims', ...at }))).value['subject'], 'c-claims@1')
    assert.deepEqual(((await did(screen => status(screen, home, at))).value['versions'] as Record<string, unknown>)['c-claims'], { owner: 'carol', version: 2 })
    assert.match(await refusedWith(screen => rotate(screen, home, { party: 'bravo', ...at })), /^cli\.usage --key/, 'which of its two keys')
    assert.match(await refusedWith(screen => rotate(screen, home, { party: 'mallory', ...at })), /^cli\.key/)
    assert.match(await refusedWith(screen => rotate(screen, home, { party: 'alpha', newKey: 'ed25519:00', ...at })), /^crypto\.key/)
    const rotated = await did(screen => rotate(screen, home, { party: 'alpha', ...at }))
    assert.match(rotated.lines, /exchanges its keys/)
    const fresh = readdirSync(join(home, 'keys')).find(name => /^alpha\.[0-9a-f]{12}\.key$/.test(name)) ?? ''
    assert.equal(statSync(join(home, 'keys', fresh)).mode & 0o777, 0o600)
    rmSync(join(home, 'keys', 'alpha.key')) // the old key is not needed any more
    await did(screen => act(screen, 'enact', home, { party: 'alpha', ...at }))

    assert.match(await refusedWith(screen => exit(screen, home, { party: 'mallory', ...at })), /^cli\.key/)
    const left = await did(screen => exit(screen, home, { party: 'bravo', ...at }))
    assert.equal(left.value['inForce'], true)
    assert.match(left.lines, /grants of others still let results go to bravo/)
    const text = readFileSync(join(home, 'charter.yaml'), 'utf8')
    assert.match(text, /asset: \[a-claims\][\s\S]*# never fewer/, 'only bravo\'s asset left the list')
    assert.match(await refusedWith(screen => why(screen, home, { asset: 'b-claims', ...at })), /^(grant\.none|charter\.revoked)/)
    const shown = await did(screen => status(screen, home, at))
    assert.deepEqual([shown.value['epoch'], shown.value['revokedAssets']], [3, ['b-claims']])
    assert.match(await refusedWith(screen => status(screen, undefined, at)), /^cli\.usage/)
  } finally {
    await cloud.close()
  }
})

test('several brokers of one charter are told with one command, also when one of them refuses', async () => {
  const home = machine('alpha', 'bravo', 'carol')
  await founded(home)
  const [one, two] = [await openLocalCloud(), await openLocalCloud()]
  const brokers = `${one.url},${two.url}`
  try {
    assert.equal((await did(screen => act(screen, 'enact', home, { cloud: one.url }))).value['inForce'], true)
    assert.equal((await did(screen => act(screen, 'enact', home, { brokers }))).value['inForce'], true)
    edit(home, text => text.replace('[simulated, snp]', '[simulated]'))
    await did(screen => propose(screen, home, { party: 'alpha', cloud: two.url }))
    await did(screen => act(screen, 'approve', home, { party: 'alpha' }))
    assert.equal((await did(screen => act(screen, 'enact', home, { party: 'alpha', brokers }))).value['inForce'], true)
    for (const cloud of [one.url, two.url]) assert.equal((await did(screen => status(screen, home, { cloud }))).value['epoch'], 2)
    assert.match(await refusedWith(screen => atOnce(screen, 'revoke', home, { party: 'alpha', subject: 'asset a-claims', brokers, print: join(home, 'x') })), /^cli\.usage --print/)
    const dead = 'http://127.0.0.1:9'
    assert.match(await refusedWith(screen => atOnce(screen, 'revoke', home, { party: 'alpha', subject: 'asset a-claims', brokers: `${dead},${two.url}` })), /^provider\.host http:\/\/127\.0\.0\.1:9 /)
    assert.deepEqual((await did(screen => status(screen, home, { cloud: two.url }))).value['revokedAssets'], ['a-claims'], 'the other was told all the same')
  } finally {
    await one.close()
    await two.close()
  }
})

test('a public key from anywhere as a charter writes it', async () => {
  const home = folder('key')
  const signer = generateSigner('p256')
  giveKey(home, 'alpha', signer)
  const [pem, der, secret] = [join(home, 'public.pem'), join(home, 'public.der'), join(home, 'keys', 'alpha.key')]
  const exported = createPublicKey(signer.exportPem())
  writeFileSync(pem, exported.export({ format: 'pem', type: 'spki' }))
  writeFileSync(der, exported.export({ format: 'der', type: 'spki' }))
  for (const file of [pem, der, secret]) assert.deepEqual((await did(screen => key(screen, file, {}))).value, { ok: true, key: publicKey(signer), id: keyId(p, publicKey(signer)) })
  assert.equal((await did(screen => key(screen, pem, { rp: 'bank.example' }))).value['key'], webauthnKey('bank.example', signer.publicKey))
  assert.match(await refusedWith(screen => key(screen, pem, { rp: 'Bank Example' })), /^crypto\.key/)
  writeFileSync(pem, 'nothing')
  assert.match(await refusedWith(screen => key(screen, pem, {})), /^(bytes|der)\./)
  writeFileSync(pem, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  assert.match(await refusedWith(screen => key(screen, pem, {})), /^cli\.key .*none/)
  writeFileSync(pem, createPublicKey(generateSigner('p384').exportPem()).export({ format: 'pem', type: 'spki' }))
  assert.match(await refusedWith(screen => key(screen, pem, {})), /^crypto\.key/, 'no kind that a charter lists')
})

test('keys stay out of git: proposing leaves a .gitignore beside them, and never touches one that is there', async () => {
  const home = machine('alpha')
  await did(screen => propose(screen, home, {}))
  const ignore = join(home, 'keys', '.gitignore')
  assert.equal(readFileSync(ignore, 'utf8'), '*\n')
  writeFileSync(ignore, 'own\n')
  await did(screen => propose(screen, home, {}))
  assert.equal(readFileSync(ignore, 'utf8'), 'own\n')
})

test('a recovery share goes to simulated silicon only where the charter names it', async () => {
  const home = machine('alpha')
  edit(home, text => text.replace('[simulated, snp]', '[snp]'))
  writeFileSync(join(home, 'keys', 'alpha.seal'), 'AGE-SECRET-KEY-NONE\n')
  writeFileSync(join(home, 'backup'), '{"charters":[]}')
  const cloud = await openLocalCloud()
  const asked = { party: 'alpha', backup: join(home, 'backup'), to: cloud.url, challenge: Buffer.alloc(32).toString('base64'), out: join(home, 'share') }
  try {
    assert.match(await refusedWith(screen => give(screen, home, asked)), /^evidence\.simulated/)
    edit(home, text => text.replace('[snp]', '[simulated]'))
    assert.match(await refusedWith(screen => give(screen, home, asked)), /^share\.form/, 'the machine is taken; the backup is none')
  } finally {
    await cloud.close()
  }
})

test('a party whose keys are elsewhere leaves by a change request that it signs elsewhere', async () => {
  const home = machine('alpha')
  await did(screen => propose(screen, home, {}))
  const left = await did(screen => exit(screen, home, { party: 'bravo' }))
  assert.match(left.lines, /no key of bravo is here/)
  assert.equal((left.value['standing'] as { approved: boolean }).approved, false)
})
