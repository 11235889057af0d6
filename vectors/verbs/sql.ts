/** Verbs of the SQL room for the vectors: judge a program, judge an output's grant, load a file. */
import { fromBase64 } from '@cloister/core/bytes/base64'
import { utf8 } from '@cloister/core/bytes/text'
import type { Output } from '@cloister/core/charter/types'
import { attempt, type Result } from '@cloister/core/refusal'
import { writeSync } from 'node:fs'
import { checkSql, runSql } from 'cloister/guest/engines/sql/index'
import { INPUT_DECLARATION } from 'cloister/guest/engines/sql/shape'
import { nodePrimitives } from 'cloister/crypto/node'

const HEAD = `-- cloister sql/1\n-- input ${INPUT_DECLARATION}\n`
const PAIRS = '-- output twice shape=rows about=own of=pairs score=50\n'
const EVERYONE = ['alpha', 'bravo']
const OUTPUTS: Output[] = [{ to: EVERYONE, shape: 'rows', about: 'own' }, { to: EVERYONE, shape: 'aggregate', atLeast: 3 }]
const CSV = 'claim_id,person_name,date_of_birth,vin,phone,zip,loss_date,loss_type,amount,paid_at,status\n'

/** The files below are small; what varies between vectors is one of the fields. */
interface SqlInput { query?: string; program?: string; csv?: Record<string, string>; base64?: string; outputs?: Output[]; seconds?: number }

// Vector inputs are written for these verbs, which read only the fields above.
const inputOf = (input: unknown) => input as SqlInput

export const verbs: Record<string, (input: unknown) => Promise<Result<unknown>>> = {
  /** `query`: the SELECT of one output of pairs; or `program`: the whole file. */
  checkSql: input => checkSql(programOf(inputOf(input))),
  /** Run over two owners' files: `csv` gives rows without the header (or all of it when it begins with `!`), `base64` replaces alpha's file. */
  runSql: input => {
    const { csv = {}, base64, outputs = OUTPUTS, seconds } = inputOf(input)
    const open = (owner: string) => (sink: number) => attempt(() => {
      const text = csv[owner] ?? `${owner}-1,Ann Example,1980-01-02,V1,1,1,2024-01-01,glass,100,,paid\n${owner}-2,Bo Example,1980-01-03,V2,2,2,2024-01-01,glass,100,,paid\n${owner}-3,Cy Example,1980-01-04,V3,3,3,2024-01-01,glass,100,,paid\n`
      writeSync(sink, base64 !== undefined && owner === 'alpha' ? fromBase64(base64) : utf8(text.startsWith('!') ? text.slice(1) : CSV + text))
    })
    return runSql({
      p: nodePrimitives, program: programOf(inputOf(input)), outputs, random: length => new Uint8Array(length).fill(1), roomKey: new Uint8Array(32), threads: 1, memoryBytesMax: 256e6,
      ...(seconds === undefined ? {} : { secondsMax: seconds }), inputs: EVERYONE.map(owner => ({ asset: `${owner}-claims`, owner, open: open(owner) })),
    })
  },
}

function programOf({ query = 'select x.claim as a, y.claim as b from claims x join claims y on x.vehicle = y.vehicle and x.insurer < y.insurer', program }: SqlInput): Uint8Array {
  return utf8(program ?? `${HEAD}${PAIRS}${query}\n`)
}

