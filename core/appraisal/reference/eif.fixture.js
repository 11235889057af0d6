/** Enclave images for tests: header, sections and checksum, with one thing wrong where a test wants it. */
import { concat } from '../../bytes/bytes.js';
import { utf8 } from '../../bytes/text.js';
import { crc32 } from './eif.js';
const be = (value, bytes) => new Uint8Array(Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256));
export function eifOf(plan = {}) {
    const whole = [[1, utf8('kernel')], [2, utf8('reboot=k')], ...(plan.ramdisks ?? ['init', 'app']).map(text => [3, utf8(text)]), ...(plan.metadata === undefined ? [] : [[5, utf8(plan.metadata)]]), ...(plan.signature === undefined ? [] : [[4, plan.signature]])];
    const sections = plan.types === undefined ? whole : plan.types.map(type => [type, utf8('word')]);
    const bodies = sections.map(([type, data]) => concat(be(type, 2), be(plan.sectionFlags ?? 0, 2), be(data.length, 8), data));
    const places = (values) => concat(...Array.from({ length: 32 }, (_, i) => be(values[i] ?? 0, 8)));
    const offsets = bodies.map((_, i) => 548 + (plan.shift ?? 0) + bodies.slice(0, i).reduce((sum, body) => sum + body.length, 0));
    const header = concat(utf8(plan.magic ?? '.eif'), be(plan.version ?? 4, 2), be(plan.flags ?? 0, 2), be(0, 18), be(plan.count ?? sections.length, 2), places(offsets), places(sections.map(([, data]) => data.length)), be(0, 4));
    return concat(header, be(plan.crc ?? crc32(crc32(0, header), concat(...bodies)), 4), ...bodies);
}
