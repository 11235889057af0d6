/** `cloister log …`: what each verb takes; what they do is in `log-verbs.ts`, loaded when one is called. */
import { Command, Option } from 'commander'
import { conclude, type Screen } from './screen.ts'

type Verbs = typeof import('./log-verbs.ts')
export interface LogServeOptions { readonly folder: string; readonly origin: string; readonly port: string; readonly host: string; readonly witness: string[]; readonly quorum?: string; readonly witnessOf: string[]; readonly rekor?: true }
export interface LogWitnessOptions { readonly folder: string; readonly name: string; readonly port: string; readonly host: string; readonly witnessOf: string[] }
export interface LogMonitorOptions { readonly log: string; readonly policy: string; readonly state: string; readonly watch: string[]; readonly every?: string }

export function logCommand(screen: Screen): Command {
  const group = plain(new Command('log')).description('a transparency log (C2SP tlog-tiles): serve one, witness others, add, prove, verify, follow')
  group.action(() => group.help())
  const add = (usage: string, description: string) => plain(group.command(usage)).description(description)
  const run = (call: (verbs: Verbs) => void | Promise<void>) => conclude(screen, async () => call(await import('./log-verbs.ts')))
  const log = ['--log <url>', 'where the log is served'] as const
  const policy = ['--policy <file>', 'whose word counts: the log\'s keys, its witnesses, how many of them'] as const
  const served = (command: Command, port: string) => command.option('--port <n>', 'port', port).option('--host <address>', 'default: loopback only', '127.0.0.1')
    .option('--witness-of <policy>', 'witness the logs that this policy names, too (again for each)', collect, [])
  served(add('serve', 'serve a log that stands alone; its keys and entries lie in its folder').requiredOption('--origin <name>', 'the log\'s name, like example.com/log').option('--folder <dir>', 'its state', '.cloister/log')
    .option('--witness <vkey@url>', 'somebody else\'s witness (again for each); without any, one of its own beside it', collect, []).option('--quorum <n>', 'how many must cosign (default: more than two thirds)'), '7802')
    .option('--rekor', 'take entries as Rekor v2 does, signatures verified, for Sigstore\'s clients; and nothing else')
    .action((options: LogServeOptions) => run(verbs => verbs.serveVerb(screen, options)))
  served(add('witness', 'witness other people\'s logs').requiredOption('--name <name>', 'the witness\'s name, like example.com/witness').option('--folder <dir>', 'its memory and key', '.cloister/witness'), '7803')
    .action((options: LogWitnessOptions) => run(verbs => verbs.witnessVerb(screen, options)))
  add('add <files...>', 'add entries; each gets FILE.tlog-proof beside it').requiredOption(...log).requiredOption(...policy).action((files: string[], options: { log: string; policy: string }) => run(verbs => verbs.addVerb(screen, files, options)))
  add('prove <index>', 'the proof of an entry, made from the log\'s tiles').requiredOption(...log).requiredOption(...policy).option('--out <file>', 'default: stdout').action((index: string, options: { log: string; policy: string; out?: string }) => run(verbs => verbs.proveVerb(screen, index, options)))
  add('verify <entry> <proof>', 'is this file an entry of the log, under a checkpoint that its witnesses cosigned? Offline').requiredOption(...policy).action((entry: string, proof: string, options: { policy: string }) => run(verbs => verbs.verifyVerb(screen, entry, proof, options)))
  add('fork <file>', 'do these two checkpoints prove that a log showed two histories? Offline').requiredOption(...policy).action((file: string, options: { policy: string }) => run(verbs => verbs.forkVerb(screen, file, options)))
  add('monitor', 'follow a log entry by entry; refuse (10) and keep the evidence when it shows two histories').requiredOption(...log).requiredOption(...policy).option('--state <file>', 'what was read before', '.cloister/monitor.json')
    .option('--watch <text>', 'tell of entries that speak of this: a party, a key, a program, a lineage (again for each)', collect, []).option('--every <seconds>', 'stay and look again')
    .action((options: LogMonitorOptions) => run(verbs => verbs.monitorVerb(screen, options)))
  return group
}

function plain(command: Command): Command {
  return command.addOption(new Option('--json', 'one JSON object on stdout')).exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => process.stdout.write(text) })
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
