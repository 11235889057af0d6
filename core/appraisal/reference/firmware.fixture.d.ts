export declare const GUID: {
    readonly footer: '96b582de-1fb2-45f7-baea-a366c55a082d';
    readonly sev: 'dc886566-984a-4798-a75e-5585a7bf67cc';
    readonly hashTable: '7255371f-3a3b-4b04-927b-1da6efa8d454';
    readonly reset: '00f771de-1a7e-4fcb-890e-68c77e2fb44e';
    readonly tdx: 'e47a6535-984a-4798-865e-4685a7bf8ec2';
    readonly other: '4c2eb361-7d9b-4cc3-8081-127c90d3d294';
};
export declare const entry: (guid: string, data: Uint8Array, length?: number) => Uint8Array;
/** An image of `size` bytes: metadata in its middle, the table of these entries, 32 bytes behind it. `filling` makes images differ. */
export declare function imageOf(entries: readonly Uint8Array[], change?: {
    size?: number;
    filling?: number;
    metadata?: Uint8Array;
    footer?: string;
    length?: number;
}): Uint8Array;
export declare const METADATA_FROM_END = 2048;
export interface SevChange {
    signature?: string;
    version?: number;
    count?: number;
    size?: number;
}
export declare const sevMetadata: (sections: readonly (readonly [number, number, number])[], change?: SevChange) => Uint8Array;
/** The sections of the OVMF builds that take a kernel: memory, secrets, CPUID, calling area, hashes. */
export declare const SEV_SECTIONS: readonly [readonly [8388608, 36864, 1], readonly [8429568, 12288, 1], readonly [8441856, 4096, 2], readonly [8445952, 4096, 3], readonly [8450048, 4096, 4], readonly [8454144, 4096, 16], readonly [8458240, 61440, 1]];
/** Firmware for SEV-SNP. */
export declare function snpImage(change?: {
    sections?: readonly (readonly [number, number, number])[];
    hashTable?: number | undefined;
    reset?: number | undefined;
    metadata?: SevChange;
    filling?: number;
}): Uint8Array;
export interface TdxSection {
    readonly kind: number;
    readonly address: number;
    readonly size: number;
    readonly offset?: number;
    readonly bytes?: number;
    readonly attributes?: number;
}
export interface TdxChange {
    readonly signature?: string;
    readonly version?: number;
    readonly length?: number;
    readonly count?: number;
}
export declare const tdxMetadata: (sections: readonly TdxSection[], change?: TdxChange) => Uint8Array;
/** The memory of Debian's build for TDX: volume to boot, variables, hand-off block, and what firmware uses itself. */
export declare const TDX_SECTIONS: readonly TdxSection[];
/** Firmware for TDX. */
export declare const tdxImage: (sections?: readonly TdxSection[], change?: TdxChange, filling?: number) => Uint8Array;
