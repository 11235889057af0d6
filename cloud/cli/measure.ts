/** `cloister measure …`: what each kind of machine takes; what it does is in `measure-verbs.ts`, loaded when one is called. */
import { Command, Option } from 'commander'
import type { NitroOptions, SnpOptions, TdxOptions, TpmOptions } from './measure-verbs.ts'
import { conclude, type Screen } from './screen.ts'

type Verbs = typeof import('./measure-verbs.ts')

/** The command and its kinds of machine. */
export function measureCommand(screen: Screen): Command {
  const plain = (command: Command) => command.addOption(new Option('--json', 'one JSON object on stdout')).exitOverride().configureOutput({ writeErr: () => undefined, writeOut: text => process.stdout.write(text) })
  const group = plain(new Command('measure')).description('the numbers that a machine image will have when it is launched')
  const add = (usage: string, description: string) => plain(group.command(usage)).description(description).option('--name <name>', 'what the reference value is called', 'image')
  const run = (call: (verbs: Verbs) => void) => conclude(screen, async () => call(await import('./measure-verbs.ts')))
  add('snp', 'SEV-SNP: the launch digest of firmware, virtual CPUs and a kernel measured with them').requiredOption('--firmware <file>', 'OVMF built for SNP').option('--kernel <file>', 'what the host hands to firmware').option('--initrd <file>', 'its ramdisk').option('--cmdline <text>', 'its command line')
    .requiredOption('--vcpus <n>', 'how many virtual CPUs').option('--cpu <type>', 'for QEMU: EPYC-v4, EPYC-Milan, EPYC-Genoa …', 'EPYC-v4').option('--host <kind>', 'qemu, ec2, gce', 'qemu').option('--features <n>', 'SEV_FEATURES', '0x1').action((options: SnpOptions) => run(verbs => verbs.snpVerb(screen, options)))
  add('tdx', 'Intel TDX: MRTD of firmware, RTMR 0 to 2 of what it boots').requiredOption('--firmware <file>', 'OVMF built for TDX').option('--order <order>', 'how the host adds pages: single-pass (QEMU from 9.0, Google) or two-pass', 'single-pass').option('--kernel <file>', 'what the host hands to firmware')
    .option('--initrd <file>', 'its ramdisk').option('--cmdline <text>', 'its command line').option('--uki <file>', 'a unified kernel image on a disk').option('--gpt <file>', 'of that disk: UEFI_GPT_DATA from an event log').option('--memory <MiB>', 'for RTMR0').option('--acpi <digest...>', 'for RTMR0: digests of the host\'s tables, from a log you trust')
    .option('--separator <register>', 'RTMR1, or RTMR0 for firmware of 2023 and 2024', 'RTMR1').action((options: TdxOptions) => run(verbs => verbs.tdxVerb(screen, options)))
  add('tpm', 'a virtual TPM: PCR 4, 7, 9, 11, 12, 13 after a unified kernel image booted').requiredOption('--uki <file>', 'the image').option('--bank <hash>', 'sha256, sha384, sha512', 'sha256').option('--phases <words>', 'how far it booted: enter-initrd:leave-initrd:sysinit:ready')
    .addOption(new Option('--secure-boot <state>', 'where it is off; on a machine with keys PCR 7 is taken from a log').choices(['off'])).action((options: TpmOptions) => run(verbs => verbs.tpmVerb(screen, options)))
  add('nitro <file>', 'AWS Nitro: PCR 0, 1, 2 and 8 of an enclave image').option('--role <arn>', 'the role of the parent, for PCR 3').option('--instance <id>', 'the parent instance, for PCR 4').action((path: string, options: NitroOptions) => run(verbs => verbs.nitroVerb(screen, path, options)))
  group.addHelpText('after', '\nThe last line is for a policy file: cloister verify EVIDENCE --policy policy.json')
  return group
}

