/**
 * `cloister`: the command line. Each command is a few lines over the SDK; results go to stdout (`--json` for programs),
 * everything for people to stderr. Exit status: 0 done, 10 refused, 20 unsupported, 30 malformed input, 1 our failure.
 */
import { Command, CommanderError, Option } from 'commander'
import { refusalOf } from '@cloister/core/refusal'
import { collateralCommand } from './collateral.ts'
import { logCommand } from './log.ts'
import { measureCommand } from './measure.ts'
import { lifeCommands } from './life-commands.ts'
import type { UpOptions } from './up.ts'
import { conclude, openScreen, showRefusal, type Screen } from './screen.ts'

/** Parse a command line and run it. Sets `process.exitCode`. */
export async function main(argv: readonly string[]): Promise<void> {
  const json = argv.includes('--json')
  const screen = openScreen(json)
  try {
    await program(screen).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return
    process.exitCode = showRefusal(screen, refusalOf('cli.usage', 'command line', 'cloister --help', error.message.replace(/^error: /, '')))
  }
}

function program(screen: Screen): Command {
  const cli = new Command('cloister').description('Run programs over private data on computers nobody has to trust.').version('0.1.0')
    .addOption(new Option('--json', 'one JSON object on stdout')).exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => process.stdout.write(text) })
    .enablePositionalOptions(false)
  const add = (usage: string, description: string) => cli.command(usage).description(description).addOption(new Option('--json', 'one JSON object on stdout')).exitOverride()
  const cloud = new Option('--cloud <url>', 'a running cloud (default: the one `cloister up` started here)')
  const brokers = new Option('--brokers <urls>', 'split keys over these brokers (addresses with commas between)')
  const need = new Option('--need <n>', 'how many of the brokers must agree (default: all)')
  const lineage = new Option('--lineage <digest>', 'the lineage (digest of epoch 1); default: of the charter at hand')

  add('init [template]', 'write a charter to start from: clean-room or box').option('--folder <dir>', 'where', '.').action((template: string | undefined, options: { folder: string }) =>
    conclude(screen, async () => (await import('./init.ts')).init(screen, template ?? 'clean-room', options.folder)))
  add('up', 'start a local cloud on simulated silicon').option('--folder <dir>', 'its state', '.cloister').option('--port <n>', 'port on loopback', '7800')
    .option('--store <where>', 'what several brokers share: postgres:FILE (a connection file), postgres: (from the environment), or a folder').option('--join <url>', 'become the broker that serves there, by this machine\'s evidence (with --store)')
    .option('--witness <vkey@url>', 'somebody else\'s witness (again for each)', collect, []).option('--quorum <n>', 'how many must cosign (default: more than two thirds)')
    .option('--witness-of <policy>', 'witness the logs that this policy names, at /witness (again for each)', collect, []).action((options: UpOptions) =>
    conclude(screen, async () => (await import('./up.ts')).up(screen, options)))
  add('run <charter>', 'run the program of a charter: place, attest, release, run, receipt').option('--data <asset=path>', 'data of an asset (again for each)', collect, [])
    .option('--program <name>', 'which program (default: the only one)').option('--out <dir>', 'where results and receipts go', 'cloister-run').option('--threads <n>', 'threads of the engine').addOption(cloud).addOption(brokers).addOption(need).addOption(lineage)
    .action((charter: string, options: { data: string[]; program?: string; out: string; threads?: string; cloud?: string; brokers?: string; need?: string; lineage?: string }) => conclude(screen, async () => (await import('./run.ts')).runCommand(screen, charter, options)))
  for (const verb of ['verify', 'explain'] as const) {
    add(`${verb} <files...>`, verb === 'verify' ? 'judge a receipt, evidence of any machine, a proof or a charter, offline' : 'the same, in words: who vouches for whom').option('--policy <file>', 'whose word counts for the log (of several brokers: files with commas between); of evidence, what it must satisfy (JSON)').option('--output <file>', 'a sealed result that must be in the receipt (again for each)', collect, [])
      .option('--at <time>', 'judge evidence at this time (RFC 3339)').option('--as-of <time>', 'judge evidence at this time, and show what today says differently').option('--report-data <hex>', 'what evidence must be bound to').option('--nonce <hex>', 'what the machine was asked with')
      .option('--collateral <path>', 'a file of collateral for the evidence, or a folder of `cloister collateral`').option('--trust <file>', 'whom you believe beyond the vendors: TPM keys, CCA platforms, other verifiers (JSON)').option('--whole', 'refuse a document of another system whose devices the machine did not sign over')
      .action((files: string[], options: { output: string[]; policy?: string; at?: string; asOf?: string; reportData?: string; nonce?: string; collateral?: string; trust?: string; whole?: boolean }) => conclude(screen, async () => (await import('./verify.ts')).verifyCommand(screen, files, options, verb === 'explain')))
  }
  for (const command of lifeCommands(screen)) cli.addCommand(command)
  add('put <file>', 'encrypt an asset and hand its key to the broker').requiredOption('--asset <name>', 'which asset').requiredOption('--charter <path>', 'the charter').option('--out <file>', 'the sealed file (default: FILE.age)').addOption(cloud).addOption(brokers).addOption(need)
    .action((file: string, options: { asset: string; charter: string; out?: string; cloud?: string; brokers?: string; need?: string }) => conclude(screen, async () => (await import('./assets.ts')).put(screen, file, options)))
  add('get <file>', 'open a sealed file of one\'s own').requiredOption('--identity <file>', 'a file with an age identity').requiredOption('--out <file>', 'where the plaintext goes')
    .action((file: string, options: { identity: string; out: string }) => conclude(screen, async () => (await import('./assets.ts')).get(screen, file, options)))
  add('why <charter>', 'may this program use this asset now, and if not, which line and claim refuse').requiredOption('--asset <name>', 'which asset').option('--program <name>', 'which program (default: the only one)').option('--receipt <file>', 'judge the evidence of this receipt').addOption(lineage).addOption(new Option('--cloud [url]', 'judge what this cloud has in force, revocations included'))
    .action((charter: string, options: { asset: string; program?: string; receipt?: string; lineage?: string; cloud?: string | true }) => conclude(screen, async () => (await import('./why.ts')).why(screen, charter, options)))
  add('backup <charter>', 'what another broker needs to bring a lineage back, when its charter says who may').requiredOption('--out <file>', 'where it goes').addOption(cloud).addOption(lineage)
    .action((charter: string, options: { cloud?: string; lineage?: string; out: string }) => conclude(screen, async () => (await import('./recover.ts')).backup(screen, charter, options)))
  cli.addCommand(recoverCommand(screen))
  cli.addCommand(collateralCommand(screen))
  cli.addCommand(logCommand(screen))
  cli.addCommand(measureCommand(screen))
  return cli
}

/** `recover start`, `give`, `finish`. */
function recoverCommand(screen: Screen): Command {
  const plain = (command: Command) => command.addOption(new Option('--json', 'one JSON object on stdout')).exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => process.stdout.write(text) })
  const group = plain(new Command('recover')).description('bring a lineage back in another broker, with shares of enough parties')
  group.action(() => group.help())
  const run = (call: (verbs: typeof import('./recover.ts')) => Promise<void>) => conclude(screen, async () => call(await import('./recover.ts')))
  const to = ['--to <url>', 'the broker that takes over'] as const
  plain(group.command('start')).description('ask the new broker for a challenge').requiredOption(...to).action((options: { to: string }) => run(verbs => verbs.start(screen, options)))
  plain(group.command('give <charter>')).description('a party looks at the new broker and gives its share to it alone').requiredOption(...to).requiredOption('--party <name>', 'the party that gives').requiredOption('--backup <file>', 'the last backup')
    .requiredOption('--challenge <text>', 'what `recover start` said').requiredOption('--out <file>', 'where the sealed share goes').option('--broker <hex>', 'the launch measurement of brokers that you trust').option('--lineage <digest>', 'the lineage; default: of the charter at hand')
    .action((charter: string, options: { party: string; backup: string; to: string; challenge: string; out: string; lineage?: string; broker?: string }) => run(verbs => verbs.give(screen, charter, options)))
  plain(group.command('finish <shares...>')).description('hand backup, log and shares to the new broker').requiredOption(...to).requiredOption('--backup <file>', 'the last backup').requiredOption('--log <url>', 'where the old log is served')
    .action((shares: string[], options: { backup: string; log: string; to: string }) => run(verbs => verbs.finish(screen, shares, options)))
  return group
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

if (process.argv[1] !== undefined && /cli[/\\]main\.(ts|js)$|[/\\]cloister$/.test(process.argv[1])) await main(process.argv.slice(2))
