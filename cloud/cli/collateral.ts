/** `cloister collateral …`: what each verb takes; what they do is in `collateral-verbs.ts`, loaded when one is called. */
import { Command, Option } from 'commander'
import { conclude, type Screen } from './screen.ts'

type Verbs = typeof import('./collateral-verbs.ts')

export function collateralCommand(screen: Screen): Command {
  const group = plain(new Command('collateral')).description('keep what vendors publish about machines: certificates, revocation lists, TCB info, manifests')
  group.action(() => group.help())
  const add = (usage: string, description: string) => plain(group.command(usage)).description(description).addOption(new Option('--folder <dir>', 'where it is kept').default('.cloister/collateral'))
  const run = (call: (verbs: Verbs) => void | Promise<void>) => conclude(screen, async () => call(await import('./collateral-verbs.ts')))
  add('add <files...>', 'verify documents to the vendors\' roots and file them').option('--early', 'Intel gave them out as an early update').action((files: string[], options: { folder: string; early?: boolean }) => run(verbs => verbs.addVerb(screen, files, options)))
  add('list', 'what is here').option('--kind <kind>', 'only this kind').action((options: { folder: string; kind?: string }) => run(verbs => verbs.listVerb(screen, options)))
  add('show <digest>', 'one document; its bytes with --out').option('--out <file>', 'where its bytes go').action((digest: string, options: { folder: string; out?: string }) => run(verbs => verbs.showVerb(screen, digest, options)))
  add('remove <digests...>', 'take documents out').action((digests: string[], options: { folder: string }) => run(verbs => verbs.removeVerb(screen, digests, options)))
  add('prune', 'take out what was over before a time').requiredOption('--before <time>', 'like 2026-01-01').action((options: { folder: string; before: string }) => run(verbs => verbs.pruneVerb(screen, options)))
  add('export', 'evidence with its collateral filled in, in force at a time').requiredOption('--for <files...>', 'evidence in any form; the files of one machine').option('--at <time>', 'default: now').option('--out <file>', 'default: stdout')
    .action((options: { folder: string; for: string[]; at?: string; out?: string }) => run(verbs => verbs.exportVerb(screen, options)))
  add('serve', 'answer at the vendors\' own paths (AMD KDS, Intel PCS, NVIDIA RIM and OCSP) from what is here').option('--port <n>', 'port', '7801').option('--host <address>', 'default: loopback only', '127.0.0.1').option('--upstream <vendors>', 'ask these for what is not here: amd, intel, nvidia')
    .action((options: { folder: string; port: string; host: string; upstream?: string }) => run(verbs => verbs.serveVerb(screen, options)))
  return group
}

function plain(command: Command): Command {
  return command.addOption(new Option('--json', 'one JSON object on stdout')).exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => process.stdout.write(text) })
}
