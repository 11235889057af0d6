// TDX values that were not computed here: hand-off blocks in the logs of real machines, and Debian's firmware (MRTD as another implementation has it).
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { toHex } from '../../bytes/hex.ts'
import { portable as p } from '../../crypto/portable.ts'
import { parseEventLog } from '../../evidence/eventlog/log.ts'
import { valueOf } from './expect.fixture.ts'
import { tdxImage } from './firmware.fixture.ts'
import { readTdvf, tdHob, tdxMrtd } from './tdx.ts'

const logs = join(import.meta.dirname, '../../../../shared/vectors/eventlog')
const skip = existsSync(logs) ? false : 'the shared vectors are not here'
const EV_EFI_HANDOFF_TABLES2 = 0x8000000b

test('the hand-off blocks of real machines with 2 and 8 GiB', { skip }, () => {
  const tdvf = valueOf(readTdvf(tdxImage()))
  for (const [log, memory] of [['confidential-containers__trustee/evlog-ccel_data_ovmf/log.bin', 2 ** 31], ['google__go-eventlog/evlog-ccel_unpadded_data/log.bin', 2 ** 33]] as const) {
    const event = parseEventLog(new Uint8Array(readFileSync(join(logs, log)))).events.find(one => one.type === EV_EFI_HANDOFF_TABLES2)
    assert.equal(toHex(event?.digests.get('sha384') ?? new Uint8Array()), toHex(p.hash('sha384', tdHob(tdvf, memory))), log)
  }
})

/** Where `apt-get install ovmf-inteltdx` puts it, or an unpacked package. */
const path = join(process.env['CLOISTER_FIRMWARE'] ?? '/usr/share/ovmf', 'OVMF.inteltdx.ms.fd')
/** ovmf-inteltdx 2026.08+ds-2. */
const KNOWN = 'a265075b4147a096109e501e76196df1ec8a18659c26f7401492c597ec88f312'

test('OVMF.inteltdx.ms.fd of Debian, with the MRTD that another implementation computed', { skip: existsSync(path) ? false : `no ${path}: install it, or set CLOISTER_FIRMWARE` }, context => {
  const image = new Uint8Array(readFileSync(path))
  const mrtd = tdxMrtd(p, valueOf(readTdvf(image)), 'single-pass')
  if (createHash('sha256').update(image).digest('hex') !== KNOWN) return context.skip(`${path} is another version`)
  assert.equal(mrtd, 'a7a1f751abc454f9cbab198ca8d2edb2821935df525c74182b5e776cb0929e8c59aefecce725b0d08a5e9d3d3183bd08')
})
