// The loop on a real TPM program: swtpm and tpm2-tools, Debian's packages. The quote goes through our own verifier, the key of
// a report is sealed by a policy session, and the TPM's state is set back as a host could do it.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fromHex, toHex } from '@cloister/core/bytes/hex'
import { fromUtf8, utf8 } from '@cloister/core/bytes/text'
import { verifyEvidence } from '@cloister/core/evidence/index'
import { verifyNvCertify } from '@cloister/core/evidence/tpm/quote'
import { readPublicArea, readSignature } from '@cloister/core/evidence/tpm/structures'
import { keysOf } from '@cloister/core/loop/authority'
import { after, followLast, type Trust } from '@cloister/core/loop/chain'
import { measured } from '@cloister/core/loop/documents'
import { orRefuse, Refused } from '@cloister/core/refusal'
import { generateSigner, nodePrimitives as p, nodeRandom } from '../crypto/node.ts'
import { fileDisk } from './disk.ts'
import { followLog } from './log.ts'
import { openNode } from './node.ts'
import { openOrchestrator } from './orchestrator.ts'
import { openTpm, type TpmHardware } from './tpm.ts'
import { demandsOf, hostState, NOW, planAt, testLog, trustOf, ZERO } from './world.fixture.ts'

const installed = (tool: string) => (process.env['PATH'] ?? '').split(':').some(folder => existsSync(join(folder, tool)))
const skip = ['swtpm', 'tpm2_quote', 'tpm2_policynv'].every(installed) ? false : 'no swtpm and tpm2-tools on this machine (Debian: apt-get install swtpm tpm2-tools)'
const PCRS = [0, 11, 13]
const LOCK = 0x01d10290

/** One machine: its TPM as a process over a folder, and the folder of its node. */
async function machine(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'loop-tpm-'))
  const socket = join(folder, 'tpm')
  mkdirSync(join(folder, 'state'))
  let running: ReturnType<typeof spawn> | undefined
  const stop = async () => {
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const gone = once(running, 'exit')
    running.kill('SIGKILL')
    await gone
  }
  /** Power on: PCRs are empty, NV is as it was. */
  const boot = async (kernel = 'kernel 6.12.95') => {
    await stop()
    for (const left of [socket, `${socket}.ctrl`]) rmSync(left, { force: true })
    running = spawn('swtpm', ['socket', '--tpm2', '--tpmstate', `dir=${join(folder, 'state')}`, '--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${socket}.ctrl`, '--flags', 'not-need-init,startup-clear'], { stdio: 'ignore' })
    for (let i = 0; i < 500 && !existsSync(`${socket}.ctrl`); i++) await sleep(20)
    tool('tpm2_pcrextend', [`0:sha256=${toHex(p.hash('sha256', utf8('firmware')))}`])
    tool('tpm2_pcrextend', [`11:sha256=${toHex(p.hash('sha256', utf8(kernel)))}`])
  }
  const tool = (name: string, args: readonly string[]) => execFileSync(name, args, { env: { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${socket}` }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(async () => {
    await stop()
    rmSync(folder, { recursive: true, force: true })
  })
  await boot()
  const open = () => openTpm({ p, random: nodeRandom, folder: join(folder, 'node'), tcti: `swtpm:path=${socket}`, pcrs: PCRS, register: 13, lock: LOCK })
  return {
    folder, boot, stop, tool, open,
    save: async (name: string) => { await stop(); cpSync(join(folder, 'state'), join(folder, name), { recursive: true }) },
    setBack: async (name: string) => { await stop(); rmSync(join(folder, 'state'), { recursive: true }); cpSync(join(folder, name), join(folder, 'state'), { recursive: true }) },
  }
}

const extend = (value: string, text: string) => toHex(p.hash('sha256', new Uint8Array([...fromHex(value), ...p.hash('sha256', utf8(text))])))
const MEASURED = { '0': extend(ZERO, 'firmware'), '11': extend(ZERO, 'kernel 6.12.95') }

/** A loop around that machine. */
async function loopOf(tpm: TpmHardware, folder: string) {
  const clock = { now: NOW }
  const log = await testLog(() => clock.now)
  const [signer, authority] = [generateSigner('p256'), generateSigner('ed25519')]
  const trust: Trust = trustOf(log.policy, signer, authority, true)
  const requires = { appraisal: { tee: ['tpm' as const], tcb: 'any' as const, distrust: {}, measurements: [{ tee: 'tpm' as const, hex: MEASURED['0'], name: 'image 7', registers: { PCR11: MEASURED['11'] } }] } }
  const demands = { ...demandsOf(trust, [tpm.akName]), requires }
  let planned = 0
  const leaves = followLog(p, log, () => keysOf(trust.authority))
  const orchestrator = openOrchestrator({ p, log: leaves, signer: authority, random: nodeRandom, now: () => clock.now, demands: () => demands, plan: () => ({ ...planAt(clock.now, `configuration ${planned++}`), requires }) })
  const disk = fileDisk(join(folder, 'node.json'))
  const events: string[] = []
  const start = (hardware: TpmHardware) => openNode({
    p, trust, signer, hardware, evidence: { aks: [tpm.akName] }, random: nodeRandom, now: () => clock.now,
    disk,
    host: { state: async () => hostState(), activate: async (payload, digest) => { events.push(`${fromUtf8(payload.files[0]?.content ?? new Uint8Array())} with PCR 13 ${await hardware.register?.read()} ${digest}`) } },
    link: { challenge: async node => orRefuse(orchestrator.challenge(node)), leaves: from => orchestrator.leaves(trust.node, from), deliver: (delivery, from) => orchestrator.answer(trust.node, delivery, from) },
  })
  return { clock, log, trust, disk, events, start, view: async () => orRefuse(followLast(p, trust, await leaves.leaves(trust.node))).view }
}

const refusedWith = (...codes: string[]) => (error: unknown) => error instanceof Refused && codes.includes(error.refusal.code) ? true : assert.fail(error instanceof Error ? error : String(error))

test('a real TPM: measured before it is active, quoted, and judged by our own verifier', { skip, timeout: 120_000 }, async t => {
  const at = await machine(t)
  const tpm = await at.open()
  const one = await loopOf(tpm, at.folder)
  const first = await one.start(tpm).turn()
  const second = await one.start(tpm).turn()
  const [value, next] = [after(p, ZERO, first), after(p, after(p, ZERO, first), second)]
  assert.deepEqual(one.events, [`configuration 0 with PCR 13 ${value} ${first}`, `configuration 1 with PCR 13 ${next} ${second}`])
  const claims = orRefuse(verifyEvidence(p, await tpm.attest(new Uint8Array(32).fill(5)), { now: NOW, aks: [tpm.akName] }))
  assert.deepEqual([claims.registers, claims.reportData, claims.chipId], [{ PCR0: MEASURED['0'], PCR11: MEASURED['11'], PCR13: next }, '05'.repeat(32), tpm.akName])
  assert.deepEqual((await one.view()).report?.register, value)
  // A boot empties the register; what is in force is measured again before anything is reported.
  await at.boot()
  assert.equal(await tpm.register?.read(), ZERO)
  await one.start(tpm).turn()
  assert.equal((await one.view()).report?.register, after(p, ZERO, second))
  // Nothing secret and nothing foreign is left in the node's folder.
  assert.deepEqual(readdirSync(join(at.folder, 'node')).toSorted(), ['ak.priv', 'ak.pub'])
  assert.equal(statSync(join(at.folder, 'node')).mode & 0o077, 0)
  // The same key is found again, the same lock goes on.
  assert.equal((await at.open()).akName, tpm.akName)
})

test('a real TPM: what is kept opens in one state only', { skip, timeout: 120_000 }, async t => {
  const at = await machine(t)
  const tpm = await at.open()
  const secret = nodeRandom(32)
  const holds = { register: ZERO, lock: await tpm.lock?.read() ?? '' }
  const digest = `sha256:${'7'.repeat(64)}` as const
  const [now, later] = [await tpm.keep(secret, holds), await tpm.keep(secret, { register: after(p, ZERO, digest), lock: after(p, holds.lock, digest) })]
  assert.equal(toHex(await tpm.open(now)), toHex(secret))
  await assert.rejects(tpm.open(later), refusedWith('seal.open'))
  await tpm.register?.extend(measured(p, digest))
  for (const kept of [now, later]) await assert.rejects(tpm.open(kept), refusedWith('seal.open'))
  await tpm.lock?.extend(measured(p, digest))
  assert.equal(await tpm.register?.read(), after(p, ZERO, digest))
  assert.equal(await tpm.lock?.read(), after(p, holds.lock, digest))
  assert.equal(toHex(await tpm.open(later)), toHex(secret))
  await assert.rejects(tpm.open(now), refusedWith('seal.open'))
  await at.boot()
  await assert.rejects(tpm.open(now), refusedWith('seal.open'), 'the lock is not emptied')
  await tpm.register?.extend(measured(p, digest))
  assert.equal(toHex(await tpm.open(later)), toHex(secret))
  await at.boot('another kernel')
  await tpm.register?.extend(measured(p, digest))
  await assert.rejects(tpm.open(later), refusedWith('seal.open'))
  await assert.rejects(tpm.open('x'), refusedWith('seal.open'))
  const other = await (await machine(t)).open()
  await assert.rejects(other.open(later), refusedWith('seal.open'))
})

test('a real TPM certifies the lock, and our verifier reads it', { skip, timeout: 120_000 }, async t => {
  const at = await machine(t)
  const tpm = await at.open()
  const file = (name: string) => join(at.folder, name)
  at.tool('tpm2_createprimary', ['-Q', '-C', 'o', '-G', 'ecc', '-g', 'sha256', '-c', file('primary.ctx')])
  at.tool('tpm2_load', ['-Q', '-C', file('primary.ctx'), '-u', file('node/ak.pub'), '-r', file('node/ak.priv'), '-c', file('ak.ctx')])
  at.tool('tpm2_flushcontext', ['-t'])
  const index = `0x${LOCK.toString(16).padStart(8, '0')}`
  at.tool('tpm2_nvcertify', ['-C', file('ak.ctx'), '-c', index, '-g', 'sha256', '-q', '0102', '--size=32', '--offset=0', `--attestation=${file('attest')}`, '-o', file('signature'), index])
  const { key } = readPublicArea(p, new Uint8Array(readFileSync(file('node/ak.pub'))))
  const certified = verifyNvCertify(p, key, new Uint8Array(readFileSync(file('attest'))), readSignature(new Uint8Array(readFileSync(file('signature')))))
  assert.deepEqual([toHex(certified.contents), toHex(certified.extraData)], [await tpm.lock?.read(), '0102'])
})

test('a real TPM set back by its host: with the disk the log notices, alone the disk does', { skip, timeout: 120_000 }, async t => {
  const at = await machine(t)
  const tpm = await at.open()
  const one = await loopOf(tpm, at.folder)
  await one.start(tpm).turn()
  const before = await one.disk.read() ?? assert.fail()
  await at.save('before')
  await at.boot()
  await one.start(tpm).turn()
  const newest = await one.disk.read() ?? assert.fail()
  // The disk alone: the lock has moved on.
  await one.disk.write(before)
  await assert.rejects(one.start(tpm).turn(), refusedWith('loop.rollback'))
  // The TPM alone: the disk remembers another lock.
  await at.setBack('before')
  await at.boot()
  await one.disk.write(newest)
  await assert.rejects(one.start(tpm).turn(), refusedWith('loop.rollback'))
  // Both: for the machine nothing happened. The log holds a report that this disk does not know.
  await one.disk.write(before)
  one.clock.now += 1
  await assert.rejects(one.start(tpm).turn(), refusedWith('loop.fork'))
  assert.equal(one.events.length, 2)
})

test('a real TPM: the lock is an index that can only be extended, begun with what nobody knows', { skip, timeout: 120_000 }, async t => {
  const [at, other] = [await machine(t), await machine(t)]
  const index = `0x${LOCK.toString(16)}`
  // Defined, and the power went before it was begun: it is begun now.
  at.tool('tpm2_nvdefine', [index, '-Q', '-C', 'o', '-g', 'sha256', '-s', '32', '-a', 'ownerwrite|authwrite|ownerread|authread|no_da|nt=0x4'])
  const begun = await (await at.open()).lock?.read()
  assert.equal(await (await at.open()).lock?.read(), begun, 'begun once')
  assert.notEqual(await (await other.open()).lock?.read(), begun)
  at.tool('tpm2_nvundefine', ['-Q', '-C', 'o', index])
  assert.notEqual(await (await at.open()).lock?.read(), begun, 'another index never holds the same')
  at.tool('tpm2_nvundefine', ['-Q', '-C', 'o', index])
  at.tool('tpm2_nvdefine', [index, '-Q', '-C', 'o', '-g', 'sha256', '-s', '32', '-a', 'ownerwrite|authwrite|ownerread|authread|no_da'])
  await assert.rejects(at.open(), refusedWith('provider.host'))
})

test('without a TPM there is a refusal, not a hang', { skip, timeout: 120_000 }, async t => {
  const at = await machine(t)
  await at.stop()
  await assert.rejects(at.open(), refusedWith('provider.host'))
  const wrong = openTpm({ p, random: nodeRandom, folder: join(at.folder, 'node'), tcti: '', pcrs: [0], register: 13, lock: LOCK })
  await assert.rejects(wrong, refusedWith('provider.host'))
})
