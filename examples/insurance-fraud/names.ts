/** Names and places from syllables, with a long tail: some are frequent, most are rare. Nobody real is meant. */
import type { Stream } from './stream.ts'

const FIRST_STARTS = ['An', 'Be', 'Ca', 'Da', 'El', 'Fe', 'Ga', 'He', 'Is', 'Jo', 'Ka', 'Lu', 'Ma', 'Ni', 'Ol', 'Pa', 'Ra', 'So', 'Ti', 'Ul']
const FIRST_MIDDLES = ['', 'na', 'ri', 'lo', 'mi', 'de', 'vi', 'sa', 'ro', 'li']
const FIRST_ENDS = ['na', 'ne', 'nas', 'ra', 'rik', 'la']
const LAST_STARTS = ['Ber', 'Brau', 'Dor', 'Eck', 'Fal', 'Gru', 'Har', 'Hof', 'Jan', 'Kel', 'Kra', 'Leh', 'Mei', 'Mor', 'Nie', 'Pet', 'Rei', 'Sal', 'Schä', 'Sta', 'Tha', 'Vog', 'Wal', 'Wei', 'Zim']
const LAST_MIDDLES = ['', 'ber', 'den', 'fel', 'ge', 'hau', 'ken', 'le', 'mer', 'nau', 'rin', 'sen', 'tel', 'wer']
const LAST_ENDS = ['mann', 'er', 'berg', 'feld', 'hofer', 'ing', 'ke', 'lein', 'meyer', 'ner', 'ow', 'rath', 'sen', 'stein', 'tal', 'thal', 'wald', 'weiler', 'wig', 'zig']

const FIRST = combinations(FIRST_STARTS, FIRST_MIDDLES, FIRST_ENDS)
const LAST = combinations(LAST_STARTS, LAST_MIDDLES, LAST_ENDS)

export const names = {
  first: (stream: Stream) => frequent(FIRST, stream),
  last: (stream: Stream) => frequent(LAST, stream),
}
export const streets = { zip: (stream: Stream) => String(1067 + stream.below(98_000)).padStart(5, '0') }

function combinations(starts: readonly string[], middles: readonly string[], ends: readonly string[]): string[] {
  // Ends vary fastest would put similar names side by side: the order decides which are frequent, so mix it.
  const all = starts.flatMap((start, i) => middles.flatMap((middle, j) => ends.map((end, k) => ({ name: start + middle + end, at: (i * 7919 + j * 104_729 + k * 1_299_709) % 10_007 }))))
  return all.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1)).map(({ name }) => name)
}

/** Index ⌊length · u²⌋, in integers. */
function frequent(list: readonly string[], stream: Stream): string {
  const u = stream.below(65_536)
  return list[Math.floor(list.length * u / 65_536 * u / 65_536)] ?? ''
}
