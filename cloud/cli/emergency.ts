/**
 * `cloister emergency`: one extra grant, signed by the quorum of `change.emergency`, that ends by itself. The first party
 * asks for it with a grant in a file; the others join under its number after they have read it. Nothing is hidden: the
 * broker logs every signature before the grant counts, and every screen that shows the cloud shows the emergency.
 */
import type { ActBody } from '@cloister/core/charter/acts'
import { emergencySubject, readEmergency } from '@cloister/core/charter/emergency'
import { durationSeconds, grantIn } from '@cloister/core/charter/parse'
import { isObject, parseJson, type Json } from '@cloister/core/bytes/json'
import { refuse } from '@cloister/core/refusal'
import { lineageView, type LineageView } from '../sdk/broker.ts'
import { lineageOf } from './change-folder.ts'
import { openFolder, readText } from './folder.ts'
import { hashText, type LifeOptions } from './life.ts'
import { emergencies, time } from './picture.ts'
import { partyOf, shownToSign, signActs } from './sign.ts'
import { cloudOf } from './where.ts'
import type { Screen } from './screen.ts'

export interface EmergencyOptions extends LifeOptions {
  /** A JSON file with the grant, as a charter writes one; without `until`. */
  readonly grant?: string
  readonly for?: string
  /** The number of an emergency that another party has asked for. */
  readonly join?: string
}

export async function emergency(screen: Screen, path: string, options: EmergencyOptions): Promise<void> {
  const from = openFolder(path)
  const client = cloudOf(options.cloud === true ? undefined : options.cloud)
  const view = await lineageView(client, lineageOf(from, hashText(options.lineage, '--lineage')))
  const subject = options.grant === undefined ? joined(path, options, view) : asked(options.grant, options, view)
  const { grant, until, sequence } = readEmergency(view.charter, subject)
  screen.warn(`emergency ${sequence}: ${grant.asset} → ${grant.to} (${grant.can}), ends ${time(until)}; may leave: ${(grant.out ?? []).map(out => `${out.shape} to ${out.to.join(', ')}`).join('; ') || 'nothing'}`)
  const { charter, digest, lineage } = view
  const body: ActBody = { verb: 'emergency', lineage, digest, epoch: charter.epoch, party: partyOf(options), subject, ...(charter.prev === undefined ? {} : { prev: charter.prev }) }
  const signed = signActs(from.folder, body, [charter], options)
  if ('toSign' in signed) return screen.result({ ok: true, verb: 'emergency', subject, toSign: signed.toSign }, shownToSign(signed.toSign))
  let effective = false
  for (const act of signed.acts) effective ||= (await client.send('/v1/acts', { act }))['effective'] === true
  if (effective) emergencies(screen, await lineageView(client, lineage), Date.now() / 1000)
  else screen.say(`it waits for ${charter.change.emergency?.need ?? 0} of ${charter.change.emergency?.of.join(', ') ?? 'nobody'}: cloister emergency ${path} --party NAME --join ${sequence}`)
  screen.result({ ok: true, verb: 'emergency', lineage, sequence, grant, until: time(until), effective }, `emergency ${sequence}: ${effective ? `runs until ${time(until)}` : 'waits for more signatures'}`)
}

/** A new emergency: the grant of a file, its end, and the next number of the lineage. */
function asked(file: string, options: EmergencyOptions, { charter, emergencyCount }: LineageView): string {
  const rule = charter.change.emergency ?? refuse('emergency.bounds', 'change.emergency', 'a quorum for emergencies', 'none: this charter has no emergency access', 'propose a charter with change.emergency')
  const told = parseJson(readText(file, 64 * 1024))
  if (!isObject(told) || told['until'] !== undefined) refuse('cli.usage', '--grant', 'a grant as a charter writes one, without until', file, 'write { "asset": …, "to": …, "can": "read", "out": [] }; --for says how long')
  // The broker counts `lasts` from the earlier of two clocks, so the whole of it would end too late.
  const lasts = durationSeconds(rule.lasts)
  const seconds = Math.min(options.for === undefined ? lasts : secondsOf(options.for), lasts - Math.min(300, Math.floor(lasts / 10)))
  const until = time(Math.floor(Date.now() / 1000) + seconds)
  return emergencySubject(emergencyCount + 1, grantIn(charter, { ...(told as { [key: string]: Json }), until }, '--grant')) // an object, as looked at above
}

const secondsOf = (text: string) => (/^\d{1,6}[smhd]$/.test(text) ? durationSeconds(text) : refuse('cli.usage', '--for', 'like 30m or 4h', text))

/** The emergency that another party has asked for, by its number. */
function joined(path: string, { join, party }: EmergencyOptions, { openActs }: LineageView): string {
  const waiting = [...new Set(openActs.filter(act => act.verb === 'emergency').map(act => act.subject ?? ''))]
  const listed = waiting.join(' or ') || 'none is waiting'
  if (join === undefined) return refuse('cli.usage', '--grant', 'a new grant (--grant FILE), or the number of one that waits (--join)', listed, waiting.length === 0 ? `cloister emergency ${path} --party ${party ?? 'NAME'} --grant FILE` : `cloister emergency ${path} --party ${party ?? 'NAME'} --join ${waiting[0]?.split(' ')[0]}`)
  const found = waiting.filter(subject => subject.split(' ')[0] === join)
  return found.length === 1 && found[0] !== undefined ? found[0] : refuse('emergency.bounds', '--join', 'the number of one emergency that waits', listed)
}
