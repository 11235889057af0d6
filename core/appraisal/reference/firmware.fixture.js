/** Firmware for tests: a table of GUIDs over an image of a given size, with metadata for SEV or TDX where asked. */
import { concat } from '../../bytes/bytes.js';
import { utf8 } from '../../bytes/text.js';
import { guidBytes, little } from './firmware.js';
export const GUID = {
    footer: '96b582de-1fb2-45f7-baea-a366c55a082d', sev: 'dc886566-984a-4798-a75e-5585a7bf67cc', hashTable: '7255371f-3a3b-4b04-927b-1da6efa8d454', reset: '00f771de-1a7e-4fcb-890e-68c77e2fb44e',
    tdx: 'e47a6535-984a-4798-865e-4685a7bf8ec2', other: '4c2eb361-7d9b-4cc3-8081-127c90d3d294',
};
export const entry = (guid, data, length = data.length + 18) => concat(data, little(length, 2), guidBytes(guid));
/** An image of `size` bytes: metadata in its middle, the table of these entries, 32 bytes behind it. `filling` makes images differ. */
export function imageOf(entries, change = {}) {
    const image = new Uint8Array(change.size ?? 8192).fill(change.filling ?? 0x90);
    const all = concat(...entries);
    const table = concat(all, entry(change.footer ?? GUID.footer, new Uint8Array(), change.length ?? all.length + 18));
    image.set(change.metadata ?? new Uint8Array(), image.length - METADATA_FROM_END);
    image.set(table, image.length - 32 - table.length);
    return image;
}
export const METADATA_FROM_END = 2048;
export const sevMetadata = (sections, change = {}) => concat(utf8(change.signature ?? 'ASEV'), little(change.size ?? 16 + 12 * sections.length, 4), little(change.version ?? 1, 4), little(change.count ?? sections.length, 4), ...sections.map(section => concat(...section.map(value => little(value, 4)))));
/** The sections of the OVMF builds that take a kernel: memory, secrets, CPUID, calling area, hashes. */
export const SEV_SECTIONS = [[0x800000, 0x9000, 1], [0x80a000, 0x3000, 1], [0x80d000, 0x1000, 2], [0x80e000, 0x1000, 3], [0x80f000, 0x1000, 4], [0x810000, 0x1000, 0x10], [0x811000, 0xf000, 1]];
/** Firmware for SEV-SNP. */
export function snpImage(change = {}) {
    const { hashTable, reset } = { hashTable: 0x810c00, reset: 0x80b004, ...change };
    return imageOf([
        entry(GUID.sev, little(METADATA_FROM_END, 4)), ...(hashTable === undefined ? [] : [entry(GUID.hashTable, concat(little(hashTable, 4), little(0x400, 4)))]),
        ...(reset === undefined ? [] : [entry(GUID.reset, little(reset, 4))]), entry(GUID.other, new Uint8Array(8)),
    ], { metadata: sevMetadata(change.sections ?? SEV_SECTIONS, change.metadata), ...(change.filling === undefined ? {} : { filling: change.filling }) });
}
export const tdxMetadata = (sections, change = {}) => concat(utf8(change.signature ?? 'TDVF'), little(change.length ?? 16 + 32 * sections.length, 4), little(change.version ?? 1, 4), little(change.count ?? sections.length, 4), ...sections.map(one => concat(little(one.offset ?? 0, 4), little(one.bytes ?? 0, 4), little(one.address, 8), little(one.size, 8), little(one.kind, 4), little(one.attributes ?? 0, 4))));
/** The memory of Debian's build for TDX: volume to boot, variables, hand-off block, and what firmware uses itself. */
export const TDX_SECTIONS = [
    { kind: 0, address: 0xfffff000, size: 0x1000, offset: 0x1000, bytes: 0x1000, attributes: 1 }, { kind: 1, address: 0xffffe000, size: 0x1000, offset: 0, bytes: 0x1000 },
    { kind: 3, address: 0x810000, size: 0x10000 }, { kind: 3, address: 0x80b000, size: 0x2000 }, { kind: 2, address: 0x809000, size: 0x2000 }, { kind: 3, address: 0x800000, size: 0x6000 },
];
/** Firmware for TDX. */
export const tdxImage = (sections = TDX_SECTIONS, change = {}, filling = 0x90) => imageOf([entry(GUID.tdx, little(METADATA_FROM_END, 4)), entry(GUID.other, new Uint8Array(8))], { metadata: tdxMetadata(sections, change), filling });
