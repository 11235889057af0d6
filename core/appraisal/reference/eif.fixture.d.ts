export interface EifPlan {
    readonly magic?: string;
    readonly version?: number;
    readonly flags?: number;
    readonly ramdisks?: readonly string[];
    readonly metadata?: string;
    readonly signature?: Uint8Array;
    /** Sections of these types in place of the whole, each with a word in it. */
    readonly types?: readonly number[];
    readonly count?: number;
    readonly shift?: number;
    readonly sectionFlags?: number;
    readonly crc?: number;
}
export declare function eifOf(plan?: EifPlan): Uint8Array;
