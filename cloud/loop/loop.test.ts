// The loop as it runs: nodes and orchestrators over ports, crashes at every write, and somebody in between who drops, delays,
// repeats, reorders and sets disks back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { keysOf } from '@cloister/core/loop/authority'
import { followLast, type Leaf } from '@cloister/core/loop/chain'
import { LOOP_LIMITS, parseConfiguration, parseReport } from '@cloister/core/loop/documents'
import type { Delivery } from '@cloister/core/loop/orchestrate'
import type { Payload } from '@cloister/core/loop/payload'
import { orRefuse, Refused, type Result } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { openSimulatedChip } from '../guest/attesters/simulated.ts'
import { followLog } from './log.ts'
import { openNode, type Hardware, type LoopNode } from './node.ts'
import { openOrchestrator } from './orchestrator.ts'
import { chipHardware, demandsOf, hostState, NEXT_KERNEL, NOW, planAt, softTpm, testLog, trustOf } from './world.fixture.ts'

class Crash extends Error {}

/** A node on its machine, with a disk, a host, and a way to the orchestrators on which anything may happen. */
async function world(hardware: Hardware & { readonly akName?: string } = softTpm()) {
  const aks = hardware.akName === undefined ? [] : [hardware.akName]
  const clock = { now: NOW }
  const log = await testLog(() => clock.now)
  const [signer, authority] = [generateSigner('p256'), generateSigner('ed25519')]
  const trust = trustOf(log.policy, signer, authority, hardware.register !== undefined)
  const demands = demandsOf(trust, aks)
  let planned = 0
  const orchestrator = () => openOrchestrator({
    p, log: followLog(p, log, () => keysOf(trust.authority)), signer: authority, random: nodeRandom, now: () => clock.now,
    demands: node => (node === trust.node ? demands : undefined), plan: () => planAt(clock.now, `configuration ${planned++}`),
  })
  const first = orchestrator()
  const disk: { text: string | undefined } = { text: undefined }
  /** Every activation, as it really happened. */
  const active: { digest: string; content: string }[] = []
  /** The adversary: what happens to the next effects, in order; and what it has seen. */
  const faults: { crash?: number; after?: boolean } = {}
  const effect = async <T>(run: () => Promise<T>): Promise<T> => {
    const hit = faults.crash === 0
    if (faults.crash !== undefined) faults.crash--
    if (hit && faults.after !== true) throw new Crash('before')
    const value = await run()
    if (hit) throw new Crash('after')
    return value
  }
  const guarded = (register: Hardware['register']) => (register === undefined ? undefined : { read: () => register.read(), extend: (digest: Uint8Array) => effect(() => register.extend(digest)) })
  const [register, lock] = [guarded(hardware.register), guarded(hardware.lock)]
  const link: { deliver: (delivery: Delivery, after: number) => Promise<Result<readonly Leaf[]>> } = { deliver: (delivery, after) => first.answer(trust.node, delivery, after) }
  const start = (): LoopNode => openNode({
    p, trust, signer, evidence: { aks }, random: nodeRandom, now: () => clock.now,
    hardware: { ...hardware, ...(register === undefined ? {} : { register }), ...(lock === undefined ? {} : { lock }) },
    disk: { read: async () => disk.text, write: text => effect(async () => { disk.text = text }) },
    host: { state: async () => hostState(), activate: (payload: Payload, digest) => effect(async () => { active.push({ digest, content: fromUtf8(payload.files[0]?.content ?? new Uint8Array()) }) }) },
    link: { challenge: async node => orRefuse(first.challenge(node)), leaves: after => first.leaves(trust.node, after), deliver: (delivery, after) => effect(() => link.deliver(delivery, after)) },
  })
  const view = async () => orRefuse(followLast(p, trust, await followLog(p, log, () => keysOf(trust.authority)).leaves(trust.node)))
  return { clock, log, trust, signer, authority, demands, orchestrator, first, disk, active, faults, link, start, view }
}
type World = Awaited<ReturnType<typeof world>>

const refusedWith = (code: string) => (error: unknown) => error instanceof Refused && error.refusal.code === code ? true : assert.fail(error instanceof Error ? error : String(error))

test('a node goes round: each turn opens the next configuration, and the log holds both documents', async () => {
  for (const hardware of [softTpm(), chipHardware(openSimulatedChip(NOW), new Uint8Array(48).fill(0x44))]) {
    const one = await world(hardware)
    const node = one.start()
    assert.equal(await node.resume(), undefined)
    for (let i = 0; i < 3; i++) {
      const digest = await node.turn()
      assert.deepEqual(one.active.at(-1), { digest, content: `configuration ${i}` })
      one.clock.now += 180
    }
    assert.equal((await one.log.entries()).length, 6)
    assert.equal((await one.view()).view.report?.sequence, 2)
    assert.equal(await one.start().resume(), one.active.at(-1)?.digest)
  }
})

test('another orchestrator takes over without a word, and two at once give one answer', async () => {
  const one = await world()
  await one.start().turn()
  const [left, right] = [one.orchestrator(), one.orchestrator()]
  const held: Delivery[] = []
  one.link.deliver = async (delivery, after) => {
    held.push(delivery)
    const [a, b] = await Promise.all([left.answer(one.trust.node, delivery, after), right.answer(one.trust.node, delivery, after)])
    assert.ok(a.ok || b.ok)
    return a.ok ? a : b
  }
  await one.start().turn()
  const { view, void: unplaced } = await one.view()
  assert.equal(view.configuration?.digest, one.active.at(-1)?.digest)
  assert.ok(unplaced.every(({ refusal }) => refusal.code === 'loop.fork'), JSON.stringify(unplaced))
  assert.equal(held.length, 1)
})

test('a crash before or after any write: the node continues, and nothing is skipped', async () => {
  for (const after of [false, true]) for (const reboot of [false, true]) {
    for (let at = 0; ; at++) {
      const tpm = softTpm()
      const one = await world(tpm)
      await one.start().turn()
      Object.assign(one.faults, { crash: at, after })
      const crashed = await one.start().turn().then(() => false, (error: unknown) => { if (!(error instanceof Crash)) throw error; return true })
      Object.assign(one.faults, { crash: undefined })
      if (!crashed) {
        assert.ok(at >= 6, `${at} effects in a turn`)
        break
      }
      if (reboot) tpm.boot()
      await one.start().turn()
      await one.start().turn()
      assertChain(one, await reportsByDigest(one))
      // Register and lock are as the log says, or the last turn would have been refused.
      assert.equal((await one.view()).view.configuration?.digest, one.active.at(-1)?.digest, `effect ${at}`)
    }
  }
})

test('a report that was lost is sent again; one that is too old makes place for a new one, and neither leaves a gap', async () => {
  const one = await world()
  await one.start().turn()
  const { deliver } = one.link
  one.link.deliver = async () => { throw new Crash('lost') }
  await assert.rejects(one.start().turn(), Crash)
  const kept = one.disk.text
  await assert.rejects(one.start().turn(), Crash)
  assert.equal(one.disk.text, kept, 'the same report')
  one.clock.now += 400
  one.link.deliver = deliver
  await one.start().turn()
  assert.equal((await one.view()).view.report?.sequence, 2)
  // The answer is lost: the same one comes again, and once it has expired, another.
  one.link.deliver = async (delivery, after) => { await deliver(delivery, after); throw new Crash('lost') }
  await assert.rejects(one.start().turn(), Crash)
  const lost = (await one.view()).view.configuration?.digest
  one.link.deliver = deliver
  assert.equal(await one.start().turn(), lost)
  one.link.deliver = async (delivery, after) => { await deliver(delivery, after); throw new Crash('lost') }
  await assert.rejects(one.start().turn(), Crash)
  const expired = (await one.view()).view.configuration?.digest
  one.clock.now += 601
  one.link.deliver = deliver
  assert.notEqual(await one.start().turn(), expired)
  assert.ok(!one.active.some(({ digest }) => digest === expired))
})

test('a kernel that changes between report and answer: a new report at once, because the old key stays shut', async () => {
  const tpm = softTpm()
  const one = await world(tpm)
  await one.start().turn()
  const { deliver } = one.link
  one.link.deliver = async () => { throw new Crash('lost') }
  await assert.rejects(one.start().turn(), Crash)
  tpm.boot(NEXT_KERNEL)
  one.link.deliver = deliver
  await one.start().turn()
  assert.equal((await one.view()).view.report?.sequence, 2)
  assert.equal(one.active.length, 2)
})

test('reports that nobody answers are logged all the same, and a node that is refused for days goes on when it is not', async () => {
  const tpm = softTpm()
  const one = await world(tpm)
  await one.start().turn()
  tpm.boot('33'.repeat(32))
  const made = LOOP_LIMITS.backlog + 2
  for (let i = 0; i < made; i++) {
    await assert.rejects(one.start().turn(), refusedWith('appraisal.register'))
    one.clock.now += 400
  }
  assert.equal((await one.view()).view.report?.sequence, made)
  tpm.boot()
  await one.start().turn()
  assert.equal(one.active.length, 2)
})

test('a disk that was set back: noticed by the lock, by the log, and by the next report', async () => {
  const [tpm, chip] = [softTpm(), chipHardware(openSimulatedChip(NOW), new Uint8Array(48).fill(0x44))]
  for (const [hardware, codes] of [[tpm, ['loop.rollback']], [chip, ['loop.rollback', 'loop.fork']]] as const) {
    const one = await world(hardware)
    await one.start().turn()
    const before = one.disk.text
    await one.start().turn()
    one.disk.text = before
    one.clock.now += 1
    await assert.rejects(one.start().turn(), (error: unknown) => error instanceof Refused && codes.some(code => code === error.refusal.code))
    assert.equal(one.active.length, 2)
  }
})

test('a disk set back, a boot, and somebody who hides what the log has since: the lock refuses; without one the window is all there is', async () => {
  for (const [locked, later, code] of [[true, 0, 'loop.rollback'], [false, 601, 'loop.window'], [false, 0, undefined]] as const) {
    const tpm = softTpm(locked)
    const one = await world(tpm)
    const { deliver } = one.link
    const answers: (readonly Leaf[])[] = []
    one.link.deliver = async (delivery, after) => { answers.push(orRefuse(await deliver(delivery, after))); throw new Crash('lost') }
    await assert.rejects(one.start().turn(), Crash)
    const before = one.disk.text
    one.link.deliver = deliver
    await one.start().turn()
    await one.start().turn()
    one.disk.text = before
    tpm.boot()
    one.clock.now += later
    one.link.deliver = async () => ({ ok: true, value: answers[0] ?? [] })
    if (code === undefined) await one.start().turn()
    else await assert.rejects(one.start().turn(), refusedWith(code))
    assert.equal(one.active.length, code === undefined ? 3 : 2)
  }
})

test('disk and TPM set back together: the log knows', async () => {
  const tpm = softTpm()
  const one = await world(tpm)
  await one.start().turn()
  const [disk, back] = [one.disk.text, tpm.snapshot()]
  await one.start().turn()
  one.disk.text = disk
  back()
  one.clock.now += 1
  await assert.rejects(one.start().turn(), refusedWith('loop.fork'))
  assert.equal(one.active.length, 2)
})

test('another machine, another kernel, another node', async () => {
  const tpm = softTpm()
  const one = await world(tpm)
  await one.start().turn()
  tpm.boot('33'.repeat(32))
  await assert.rejects(one.start().turn(), refusedWith('appraisal.register'))
  tpm.boot()
  await one.start().turn()
  const stranger = await world(softTpm())
  const delivered: Delivery[] = []
  stranger.link.deliver = async delivery => { delivered.push(delivery); return { ok: true, value: [] } }
  await assert.rejects(stranger.start().turn(), refusedWith('loop.skip'))
  const [delivery] = delivered
  assert.ok(delivery !== undefined)
  const wrongNode = await one.first.answer(one.trust.node, delivery, -1)
  assert.equal(!wrongNode.ok && wrongNode.refusal.code, 'loop.node')
  const unknown = await one.first.answer('p256:04', delivery, -1)
  assert.equal(!unknown.ok && unknown.refusal.code, 'loop.node')
  assert.equal(one.first.challenge('p256:04').ok, false)
})

test('what strangers append to the log changes nothing', async () => {
  const one = await world()
  await one.start().turn()
  const forged = await world()
  await forged.start().turn()
  for (const entry of [...await forged.log.entries(), utf8('nothing'), ...(await one.log.entries()).slice(0, 2)]) await one.log.add(entry)
  await one.start().turn()
  assert.equal(one.active.length, 2)
})

type Action = { kind: 'turn'; crash?: number; after?: boolean } | { kind: 'boot' | 'snapshot' | 'restore' | 'time' | 'replay' | 'old' | 'drop' | 'lose' }
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('turn' as const), crash: fc.nat(9), after: fc.boolean() }, { requiredKeys: ['kind'] }) },
  { weight: 5, arbitrary: fc.constantFrom('boot', 'snapshot', 'restore', 'time', 'replay', 'old', 'drop', 'lose').map(kind => ({ kind } as const)) },
)

test('whatever is dropped, delayed, repeated, reordered or set back: no configuration is skipped, opened elsewhere or opened again after another', async () => {
  await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 24 }), async actions => {
    const tpm = softTpm()
    const one = await world(tpm)
    const honest = one.link.deliver
    const seen: Delivery[] = []
    const leaves: (readonly Leaf[])[] = []
    const snapshots: (string | undefined)[] = []
    for (const { kind, ...turn } of actions) {
      one.link.deliver = async (delivery, after) => {
        seen.push(delivery)
        if (kind === 'drop') throw new Crash('dropped')
        const answer = await honest(delivery, after)
        if (answer.ok) leaves.push(answer.value)
        if (kind === 'lose') throw new Crash('lost')
        if (kind === 'old') return { ok: true, value: leaves[seen.length % Math.max(leaves.length, 1)] ?? [] }
        return answer
      }
      if (kind === 'boot') tpm.boot()
      else if (kind === 'time') one.clock.now += 400
      else if (kind === 'snapshot') snapshots.push(one.disk.text)
      else if (kind === 'restore') { if (snapshots.length > 0) one.disk.text = snapshots[seen.length % snapshots.length] }
      else if (kind === 'replay') for (const delivery of seen.slice(-3)) await one.first.answer(one.trust.node, delivery, -1)
      else {
        Object.assign(one.faults, { crash: undefined, after: false, ...turn })
        await one.start().turn().catch((error: unknown) => { if (!(error instanceof Refused) && !(error instanceof Crash)) throw error })
        Object.assign(one.faults, { crash: undefined })
      }
      assertChain(one, await reportsByDigest(one))
    }
  }), { numRuns: 30 })
})

interface Reports { readonly inForce: ReadonlyMap<string, string | undefined>; readonly accepts: ReadonlyMap<string, string> }

/** From the log alone: which configuration each report says is in force, and which report each configuration accepts. */
async function reportsByDigest(one: World): Promise<Reports> {
  const [inForce, accepts] = [new Map<string, string | undefined>(), new Map<string, string>()]
  for (const entry of await one.log.entries()) {
    const envelope = fromUtf8(entry)
    const report = parseReport(p, envelope, one.trust.node)
    const configuration = report.ok ? undefined : parseConfiguration(p, envelope, keysOf(one.trust.authority))
    if (report.ok) inForce.set(report.value.digest, report.value.body.configuration)
    else if (configuration?.ok === true) accepts.set(configuration.value.digest, configuration.value.body.accepts)
  }
  return { inForce, accepts }
}

/**
 * What really ran: each configuration was issued in the log, for a report that says the one before it was in force; the same
 * one may come twice, after a crash.
 */
function assertChain(one: World, { inForce, accepts }: Reports): void {
  one.active.forEach(({ digest }, i) => {
    const before = one.active[i - 1]?.digest
    if (digest === before) return
    const report = accepts.get(digest) ?? assert.fail('it is not in the log')
    assert.equal(inForce.get(report), before, 'the report it answers tells of another configuration in force')
  })
}
