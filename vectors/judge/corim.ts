/**
 * Judges the cases of CoRIM: each is read whole, then held against the rules of the profile that it names. Where a case
 * expects no verdict (`parse`), reading is the question, and what the profile has to say is shown beside it.
 */
import { checkedCorim, readCorim } from '@cloister/core/appraisal/corim/index'
import { filesOf, judged, type Case, type Judgement, type Read } from './eventlog.ts'

export function judge(one: Case, read: Read): Judgement {
  const [bytes] = filesOf(one, 'corim', read)
  if (bytes === undefined) return judged('unsupported', [])
  const document = readCorim(bytes)
  if (!document.ok) return judged('reject', [], document.refusal)
  const checked = checkedCorim(bytes)
  return checked.ok ? judged('parse', []) : judged(one.expect.verdict === 'parse' ? 'parse' : 'reject', [], checked.refusal)
}
