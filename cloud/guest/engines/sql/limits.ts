/** The limits of the SQL room, all in one place. */
export const LIMITS = {
  programBytesMax: 65_536,
  sectionsMax: 32,
  nodesMax: 20_000,
  depthMax: 60,
  inputsMax: 16,
  inputBytesMax: 64 * 2 ** 30,
  headerBytesMax: 4_096,
  /** Matches of one output; beyond it a query is a cross product by mistake or by malice. */
  matchesMax: 2_000_000,
  /** Claims of one ring; larger groups are somebody's default value, not a ring. */
  ringClaimsMax: 24,
  /** Case rows that one receiver may get out of one run (clean-room.md section 6, rule 3). */
  caseRowsMax: 200_000,
  amountMax: 1_000_000_000_000,
  cellsMax: 10_000,
  secondsMax: 600,
  textMax: 512,
} as const

/** No single owner and no single person may stand behind more than this share of a cell, in percent. */
export const DOMINANCE_PERCENT = 80n
