/**
 * The shape of a claims file, and the table that reviewed queries see.
 *
 * Owners hand in eleven columns. Inside the room they become one view `claims`: the same facts with an owner
 * (`insurer`), a handle (`claim`, meaningless outside the run) and normalised keys. `claim_id` is not in that view:
 * only the engine gives an owner its own identifiers back. Trusts nothing.
 */
export type InputType = 'text' | 'date' | 'cents'
export interface Column { readonly name: string; readonly type: InputType; readonly required: boolean }

/** What a file must hold, in any order (clean-room.md section 3; the issue's column list). */
export const COLUMNS: readonly Column[] = [
  { name: 'claim_id', type: 'text', required: true },
  { name: 'person_name', type: 'text', required: false },
  { name: 'date_of_birth', type: 'date', required: false },
  { name: 'vin', type: 'text', required: false },
  { name: 'phone', type: 'text', required: false },
  { name: 'zip', type: 'text', required: false },
  { name: 'loss_date', type: 'date', required: true },
  { name: 'loss_type', type: 'text', required: true },
  { name: 'amount', type: 'cents', required: true },
  { name: 'paid_at', type: 'date', required: false },
  { name: 'status', type: 'text', required: false },
]

/** The line that every program carries, so that its reviewers see what it reads. */
export const INPUT_DECLARATION = COLUMNS.map(({ name, type }) => `${name} ${type}`).join(', ')

export const SQL_TYPES: Record<InputType, string> = { text: 'VARCHAR', date: 'DATE', cents: 'BIGINT' }

/** The normalised columns of `claims`, as a query may name them, and how each is made from the file's columns. */
export const CLAIMS: Readonly<Record<string, string>> = {
  // Diacritics are folded only where a text has any (its bytes outnumber its letters): most names are spared the work.
  name: `nullif(replace(case when strlen(person_name) = length(person_name) then lower(trim(person_name)) else replace(lower(trim(strip_accents(person_name))), 'ß', 'ss') end, ', ', ' '), '')`,
  date_of_birth: 'date_of_birth',
  vehicle: `nullif(replace(replace(upper(vin), ' ', ''), '-', ''), '')`,
  phone: `try_cast(right(translate(phone, '+- ()/.', ''), 9) as integer)`,
  zip: `nullif(trim(zip), '')`,
  loss_date: 'loss_date',
  loss_type: 'lower(trim(loss_type))',
  amount: 'amount',
  paid_at: 'paid_at',
  status: 'status',
}
export const CLAIMS_COLUMNS: readonly string[] = ['claim', 'insurer', ...Object.keys(CLAIMS)]

/** Values per owner: the table behind the view. Owners are names of a charter ([a-z0-9-]), so they need no escaping. */
export function tableSql(owners: readonly string[]): string[] {
  const insurer = `enum(${owners.map(owner => `'${owner}'`).join(', ')})`
  return [
    `create table data (insurer ${insurer}, claim_id varchar, name varchar, date_of_birth date, vehicle varchar, phone integer, zip varchar,
       loss_date date, loss_type varchar, amount bigint, paid_at date, status varchar)`,
    `create view claims as select rowid as claim, insurer, ${Object.keys(CLAIMS).join(', ')} from data`,
  ]
}

/** Append one owner's rows. `from` is a table expression with the file's columns, already typed. */
export function insertSql(owner: string, from: string): string {
  return `insert into data select '${owner}', claim_id, ${Object.values(CLAIMS).join(', ')} from ${from}`
}

/**
 * Functions of ours that a query may call beside DuckDB's own, on the column `name` (folded when it was loaded).
 * `given`, `family`: its first and last word. `sounds`: a Soundex-like code, so that Meier and Mayer agree: groups of
 * consonants that sound alike become one digit, repeats and vowels go.
 */
export const MACROS: readonly string[] = [
  `create macro given(t) as split_part(t, ' ', 1)`,
  `create macro family(t) as split_part(t, ' ', -1)`,
  `create macro sounds(t) as regexp_replace(regexp_replace(translate(t, 'bfpvwcgjkqsxzdtlmnr', '1111122222222334556'), '(1)1+|(2)2+|(3)3+|(4)4+|(5)5+|(6)6+', '\\1\\2\\3\\4\\5\\6', 'g'), '[^1-6]', '', 'g')`,
]

/**
 * The person behind a row, as text: the words of the name in a fixed order (Meier Anna is Anna Meier) and the date of
 * birth; null without either. The length of the name is the same for equal persons and costs nothing to read, so that it
 * narrows a search.
 */
export const PERSON = (row: string) => `array_to_string(list_sort(string_split(${row}.name, ' ')), ' ') || ' ' || ${row}.date_of_birth::varchar`
export const PERSON_LENGTH = (row: string) => `strlen(${row}.name)`
