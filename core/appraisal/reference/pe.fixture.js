/** PE images for tests: headers, sections one after the other, signatures at the end; everything can be changed. */
import { concat } from '../../bytes/bytes.js';
import { utf8 } from '../../bytes/text.js';
import { little } from './firmware.js';
export const HEADERS = 1024;
const ALIGN = 512;
const LFANEW = 0x40;
/** An image with these sections, each padded to 512 bytes in the file. */
export function peOf(plan = {}) {
    const sections = plan.sections ?? [{ name: '.text', data: utf8('code') }];
    const headerBytes = plan.headerBytes ?? HEADERS;
    let [offset, address] = [HEADERS, 4096];
    const placed = sections.map(one => {
        const data = concat(one.data, new Uint8Array(-one.data.length & (ALIGN - 1)));
        const place = { ...one, data, offset: one.offset ?? (data.length === 0 ? 0 : offset), address: one.address ?? address, memory: one.memory ?? one.data.length, fileBytes: one.fileBytes ?? data.length };
        offset += data.length;
        address += (Math.max(data.length, place.memory) + 4095) & ~4095;
        return place;
    });
    const directories = plan.directories ?? 6;
    const [signatures, extra] = [plan.signatures ?? new Uint8Array(), plan.extra ?? new Uint8Array()];
    const certificates = plan.certificates ?? (signatures.length === 0 ? [0, 0] : [offset + extra.length, signatures.length]);
    const optional = concat(little(plan.magic ?? 0x20b, 2), new Uint8Array(58), little(headerBytes, 4), little(plan.checksum ?? 0, 4), new Uint8Array(40), little(directories, 4), ...Array.from({ length: Math.min(directories, 16) }, (_, i) => (i === 4 ? concat(little(certificates[0], 4), little(certificates[1], 4)) : new Uint8Array(8))));
    const coff = concat(utf8('PE'), new Uint8Array(2), little(plan.machine ?? 0x8664, 2), little(plan.count ?? sections.length, 2), new Uint8Array(12), little(plan.optionalBytes ?? optional.length, 2), new Uint8Array(2), optional);
    const table = placed.map(one => concat(one.rawName ?? concat(utf8(one.name), new Uint8Array(8 - one.name.length)), little(one.memory, 4), little(one.address, 4), little(one.fileBytes, 4), little(one.offset, 4), new Uint8Array(16)));
    const headers = concat(utf8('MZ'), new Uint8Array(0x3a), little(plan.lfanew ?? LFANEW, 4), coff, ...table);
    return concat(headers, new Uint8Array(HEADERS - headers.length), ...placed.map(one => one.data), extra, signatures);
}
export const stubMagic = (version) => ({ name: '.sdmagic', data: utf8(`#### LoaderInfo: systemd-stub ${version} ####`) });
export const section = (name, data) => ({ name, data: typeof data === 'string' ? utf8(data) : data });
/** A kernel is itself an image. */
export const KERNEL = peOf({ sections: [section('.text', 'the kernel')] });
/** A unified kernel image; `sections` adds, or replaces those of the same name. */
export function ukiOf(version = '262.1-1', sections = [], change = {}) {
    const usual = [section('.linux', KERNEL), section('.osrel', 'ID=x\n'), section('.cmdline', 'console=ttyS0 quiet'), section('.initrd', 'the initrd'), section('.uname', '6.12'), section('.sbat', 'sbat,1\n')];
    const kept = usual.filter(one => !sections.some(other => other.name === one.name));
    return peOf({ sections: [section('.text', 'stub'), stubMagic(version), ...kept, ...sections], ...change });
}
