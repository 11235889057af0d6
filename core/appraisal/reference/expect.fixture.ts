/** What tests of measurements say again and again: this was accepted, that was refused so. */
import assert from 'node:assert/strict'
import { attempt, type RefusalCode, type Result } from '../../refusal.ts'

export function refused(result: Result<unknown>, code: RefusalCode, at?: string): void {
  assert.ok(!result.ok, 'accepted')
  assert.equal(result.refusal.code, code, JSON.stringify(result.refusal))
  if (at !== undefined) assert.equal(result.refusal.at, at, JSON.stringify(result.refusal))
}

export function leaves(run: () => unknown, code: RefusalCode, at?: string): void {
  refused(attempt(run), code, at)
}

export function valueOf<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(!result.ok && result.refusal))
  return result.value
}
