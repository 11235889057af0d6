import { type CertificatePlan, type IssuerPort } from './issue.ts';
import type { PublicKey } from './primitives.ts';
import { type Certificate, type RevocationList } from './x509.ts';
/** 2026-01-01 and the year around it. */
export declare const NOW = 1767225600;
export interface Authority {
    readonly name: string;
    readonly key: PublicKey;
    readonly port: IssuerPort;
}
/** The same text gives the same key; `name` is its common name. */
export declare function authority(name: string, keyName?: string): Authority;
export declare const CA_EXTENSIONS: {
    oid: string;
    critical: boolean;
    value: Uint8Array<ArrayBufferLike>;
}[];
export declare const LEAF_EXTENSIONS: {
    oid: string;
    critical: boolean;
    value: Uint8Array<ArrayBufferLike>;
}[];
/** DER of a certificate for `subject` by `issuer`, a CA when it has no other extensions named. */
export declare function certificateDer(subject: Authority, issuer: Authority, change?: Partial<CertificatePlan>): Uint8Array;
export declare function certificate(subject: Authority, issuer: Authority, change?: Partial<CertificatePlan>): Certificate;
export declare function crlDer(issuer: Authority, revoked?: readonly number[], thisUpdate?: number, nextUpdate?: number): Uint8Array;
export declare function crl(...input: Parameters<typeof crlDer>): RevocationList;
/** root, intermediate and leaf by the names `root`, `middle` and `leaf`. */
export declare const ROOT: Authority, MIDDLE: Authority, LEAF: Authority;
export declare const root: Certificate;
export declare const middle: Certificate;
export declare const leaf: Certificate;
