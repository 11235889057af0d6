/** How the vectors of the NVIDIA room run: an XML document read. */
import { utf8 } from '@cloister/core/bytes/text'
import { readXml } from '@cloister/core/bytes/xml'
import { attempt, type Result } from '@cloister/core/refusal'

export const verbs: Record<string, (input: unknown) => Result<unknown>> = {
  // Vector inputs are written for these verbs.
  /** { text } */
  readXml: input => attempt(() => readXml(utf8((input as { text: string }).text))),
}
