/** The commands of a charter's life: what each takes; what they do is in `life.ts`, `emergency.ts`, `successions.ts`, `key.ts` and `status.ts`, loaded when one is called. */
import { Command, Option } from 'commander'
import type { EmergencyOptions } from './emergency.ts'
import type { LifeOptions } from './life.ts'
import { conclude, type Screen } from './screen.ts'
import type { StatusOptions } from './status.ts'
import type { RotateOptions } from './successions.ts'

/** `plan`, `propose`, `approve`, `veto`, `enact`, `revoke`, `emergency`, `rotate`, `exit`, `key`, `status`. */
export function lifeCommands(screen: Screen): Command[] {
  const life = (call: (verbs: typeof import('./life.ts')) => Promise<void>) => conclude(screen, async () => call(await import('./life.ts')))
  const successions = (call: (verbs: typeof import('./successions.ts')) => Promise<void>) => conclude(screen, async () => call(await import('./successions.ts')))
  return [
    verb('plan <charter>', 'what a charter changes, for whom, who must sign and who has').addOption(against()).addOption(lineage()).addOption(cloud('also show what this cloud has heard, and from when it may be in force'))
      .option('--require-approved', 'refuse (10) until everybody who must sign has signed: for checks of pull requests').action((path: string, options: LifeOptions) => life(verbs => verbs.plan(screen, path, options))),
    signing(verb('propose <charter>', 'write a changed charter down as a change request in changes/; with --cloud the log gets it and the notice begins')).addOption(against()).addOption(lineage()).addOption(cloud('send it too')).addOption(brokers())
      .option('--check', 'write nothing; refuse (10) when the change request is not what its charter says').action((path: string, options: LifeOptions) => life(verbs => verbs.propose(screen, path, options))),
    ...(['approve', 'veto', 'enact'] as const).map(name => signing(verb(`${name} <change>`, WORDS[name])).addOption(cloud('send the whole change request too')).addOption(brokers())
      .action((path: string, options: LifeOptions) => life(verbs => verbs.act(screen, name, path, options)))),
    signing(verb('revoke <charter>', 'take back an asset, a program or the whole charter, at once')).addOption(lineage()).addOption(cloud('which cloud (default: the one `cloister up` started here)')).addOption(brokers()).option('--subject <what>', 'asset NAME, program NAME or charter', 'charter')
      .action((path: string, options: LifeOptions) => life(verbs => verbs.atOnce(screen, 'revoke', path, options))),
    signing(verb('emergency <charter>', 'ask for one extra grant that ends by itself, or join one that waits for signatures')).option('--grant <file>', 'the grant, as JSON').option('--for <duration>', 'how long (default: as long as the charter allows)').option('--join <number>', 'sign the one that another party has asked for').addOption(lineage()).addOption(cloud('which cloud (default: the one `cloister up` started here)'))
      .action((path: string, options: EmergencyOptions) => conclude(screen, async () => (await import('./emergency.ts')).emergency(screen, path, options))),
    verb('rotate <charter>', 'exchange a key of a party: writes the next charter and signs it with the old key and the new; with --asset, end the version of an asset\'s key, at once').option('--asset <name>', 'the asset whose owner will put a new key').addOption(party()).option('--key <key>', 'the old key or its id (default: the only one)').option('--new-key <key>', 'a public key as charters spell it (default: a fresh one in keys/)').addOption(lineage()).addOption(cloud('send it too')).addOption(brokers())
      .action((path: string, options: RotateOptions) => successions(verbs => verbs.rotate(screen, path, options))),
    verb('exit <charter>', 'a party leaves: writes the next charter without the grants of what it owns; with --cloud at once').addOption(party()).addOption(lineage()).addOption(cloud('put it in force')).addOption(brokers())
      .action((path: string, options: LifeOptions) => successions(verbs => verbs.exit(screen, path, options))),
    verb('key <file>', 'how a charter writes a public key (PEM or DER, of a passkey with --rp), and its id').option('--rp <domain>', 'the domain at which a passkey or FIDO2 key was made')
      .action((file: string, options: { rp?: string }) => conclude(screen, async () => (await import('./key.ts')).key(screen, file, options))),
    verb('status [charter]', 'where a lineage stands: newest epoch, open proposals, who has signed, what is revoked').addOption(lineage()).addOption(cloud('which cloud (default: the one `cloister up` started here)'))
      .option('--policy <file>', 'whose word counts for the log: check that it holds this, and how old the view is').action((path: string | undefined, options: StatusOptions) => conclude(screen, async () => (await import('./status.ts')).status(screen, path, options))),
  ]
}

const WORDS = {
  approve: 'approve a change request (at epoch 1: found the charter)',
  veto: 'veto a change request, or take back an approval',
  enact: 'sign that a change shall be in force; with --cloud send all of it, which needs no key where it is signed',
} as const

const verb = (usage: string, description: string) => new Command(usage.split(' ')[0]).arguments(usage.split(' ').slice(1).join(' ')).description(description)
  .addOption(new Option('--json', 'one JSON object on stdout')).exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => process.stdout.write(text) })
const signing = (command: Command) => command.addOption(party()).option('--print <file>', 'sign nothing: write the bytes to sign to this file, and show their SHA-256')
  .option('--signature <file>', 'a signature made elsewhere: raw, base64, DER, or what a browser gave for a passkey').option('--key <key>', 'the public key that made it, or its id')
const party = () => new Option('--party <name>', 'the party that acts')
const against = () => new Option('--against <charter>', 'the charter it follows')
const lineage = () => new Option('--lineage <digest>', 'the digest of epoch 1; needed only where no change request tells it')
const cloud = (words: string) => new Option('--cloud [url]', words)
const brokers = () => new Option('--brokers <urls>', 'several brokers of one charter, with commas between: tell each')
