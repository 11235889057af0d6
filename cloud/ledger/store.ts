/**
 * What the ledger needs of a store: named bytes inside somebody's transaction, so that a broker can append to the log and
 * change its own state in one durable step. The store is trusted to keep, not to be honest: what it returns is checked
 * against signatures and hashes by whoever verifies the log.
 */
export interface LedgerReader { get(key: string): Uint8Array | undefined }
export interface LedgerTx extends LedgerReader { put(key: string, value: Uint8Array): void }
