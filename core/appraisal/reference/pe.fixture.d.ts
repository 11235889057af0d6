export interface PlannedSection {
    readonly name: string;
    readonly data: Uint8Array;
    readonly rawName?: Uint8Array;
    readonly memory?: number;
    readonly address?: number;
    readonly offset?: number;
    readonly fileBytes?: number;
}
export interface PePlan {
    readonly sections?: readonly PlannedSection[];
    readonly machine?: number;
    readonly magic?: number;
    readonly headerBytes?: number;
    readonly directories?: number;
    readonly optionalBytes?: number;
    readonly count?: number;
    /** Data behind the sections. */
    readonly extra?: Uint8Array;
    readonly signatures?: Uint8Array;
    readonly certificates?: readonly [number, number];
    readonly checksum?: number;
    readonly lfanew?: number;
}
export declare const HEADERS = 1024;
/** An image with these sections, each padded to 512 bytes in the file. */
export declare function peOf(plan?: PePlan): Uint8Array;
export declare const stubMagic: (version: string) => PlannedSection;
export declare const section: (name: string, data: string | Uint8Array) => PlannedSection;
/** A kernel is itself an image. */
export declare const KERNEL: Uint8Array<ArrayBufferLike>;
/** A unified kernel image; `sections` adds, or replaces those of the same name. */
export declare function ukiOf(version?: string, sections?: readonly PlannedSection[], change?: PePlan): Uint8Array;
