/** The SDK: what an app imports to run programs over private data and to check what came of it. */
export { run, type RunRequest, type RunResult } from './run.ts'
export { connectBroker, type BrokerClient } from './client.ts'
export { actOn, epochsUntil, depositKey, foundCharter, lineageView, meetBroker, newestCharter, sendChange, type Holder, type KnownBroker, type LineageView, type SignedChange } from './broker.ts'
export { parseBundle, verifyReceipt, type ReceiptBundle, type Verdict } from '@cloister/core/verify'
