/** Certificate chains for tests: small P-256 authorities with keys from their names, and one change at a time. */
import { p256 } from '@noble/curves/nist.js';
import { utf8 } from '../bytes/text.js';
import { orRefuse } from '../refusal.js';
import { basicConstraintsCa, ECDSA_SHA256, issueCertificate, issueCrl, keyUsage } from './issue.js';
import { ecdsaToDer } from './keys.js';
import { portable } from './portable.js';
import { parseCertificate, parseCrl } from './x509.js';
/** 2026-01-01 and the year around it. */
export const NOW = 1_767_225_600;
const DAY = 86_400;
/** The same text gives the same key; `name` is its common name. */
export function authority(name, keyName = name) {
    const secret = portable.hash('sha256', utf8(`test key ${keyName}`));
    const sign = (tbs) => ecdsaToDer(p256.sign(portable.hash('sha256', tbs), secret, { prehash: false }));
    return { name, key: { kind: 'p256', raw: p256.getPublicKey(secret, false) }, port: { algorithm: ECDSA_SHA256, sign } };
}
export const CA_EXTENSIONS = [basicConstraintsCa(), keyUsage(0x06)];
export const LEAF_EXTENSIONS = [keyUsage(0x80)];
/** DER of a certificate for `subject` by `issuer`, a CA when it has no other extensions named. */
export function certificateDer(subject, issuer, change = {}) {
    const plan = { serial: new Uint8Array([1]), issuer: issuer.name, subject: subject.name, key: subject.key, notBefore: NOW - 100 * DAY, notAfter: NOW + 100 * DAY, extensions: CA_EXTENSIONS };
    return issueCertificate({ ...plan, ...change }, issuer.port);
}
export function certificate(subject, issuer, change = {}) {
    return orRefuse(parseCertificate(certificateDer(subject, issuer, change)));
}
export function crlDer(issuer, revoked = [], thisUpdate = NOW - DAY, nextUpdate = NOW + DAY) {
    return issueCrl({ issuer: issuer.name, thisUpdate, nextUpdate, revoked: revoked.map(serial => ({ serial: new Uint8Array([serial]), at: NOW - 10 * DAY })) }, issuer.port);
}
export function crl(...input) {
    return orRefuse(parseCrl(crlDer(...input)));
}
/** root, intermediate and leaf by the names `root`, `middle` and `leaf`. */
export const [ROOT, MIDDLE, LEAF] = [authority('root'), authority('middle'), authority('leaf')];
export const root = certificate(ROOT, ROOT);
export const middle = certificate(MIDDLE, ROOT);
export const leaf = certificate(LEAF, MIDDLE, { extensions: LEAF_EXTENSIONS });
