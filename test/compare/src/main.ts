/** `npm run compare`: the same flows and faults for vpn-gateway, for ECMP and for resilient nexthop groups, as one table. */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'
import { ensureBundles } from '@vpn-gateway/lab/machine/bundles.ts'
import { bootMachine, type VirtualMachine } from '@vpn-gateway/lab/machine/vm.ts'
import { renderTable, type WayResult } from './result.ts'

const root = resolve(import.meta.dirname, '../../..')
const help = `usage: npm run compare -- [OPTION]…

Counts in the lab what each fault costs, of gateways that die, return, drain and get another weight, and of routers: with
vpn-gateway, with ECMP routes hashed on layers 3 and 4, and with a resilient nexthop group.

  --flows N     long-lived flows, 30 to 1000 (default 60)
  --json FILE   write the figures as JSON too
  --no-kvm      emulate the processor even where KVM works

Exit codes: 0 counted, 1 something failed, 2 wrong input.
`
let machine: VirtualMachine | undefined

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        flows: { type: 'string', default: '60' },
        json: { type: 'string' },
        'no-kvm': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    const flows = Number(values.flows)
    if (!Number.isInteger(flows) || flows < 30 || flows > 1000)
      throw new UserError(`--flows: "${values.flows}": expected a whole number from 30 to 1000`)
    return { ...values, flows }
  } catch (error) {
    if (error instanceof UserError) throw error
    throw new UserError(
      `${error instanceof Error ? error.message.split('. ')[0] : String(error)}: --help lists the options`,
    )
  }
}

async function main(): Promise<void> {
  const options = readArguments()
  if (options.help) {
    process.stdout.write(help)
    return
  }
  const say = (text: string) => void process.stderr.write(`${text}\n`)
  await ensureBundles(say)
  machine = await bootMachine({ log: say, ...(options['no-kvm'] ? { accelerator: 'tcg' as const } : {}) })
  let output = ''
  const { exitCode } = await machine.exec(
    [process.execPath, join(root, 'dist/lab-compare.mjs'), '--flows', String(options.flows)],
    { onOutput: (text, stream) => (stream === 'stdout' ? (output += text) : process.stderr.write(text)) },
  )
  if (exitCode !== 0) throw new Error('the comparison could not be made: see above')
  const results = JSON.parse(output) as WayResult[]
  process.stdout.write(`${renderTable(results)}\n`)
  if (options.json !== undefined) {
    // npm starts us at the repository's root; a path that the user typed is relative to where they typed it.
    await writeFile(resolve(process.env['INIT_CWD'] ?? '.', options.json), `${JSON.stringify(results, null, 2)}\n`)
  }
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => void (machine?.shutdown() ?? Promise.resolve()).finally(() => process.exit(code)))
}

try {
  await main()
} catch (error) {
  const problems =
    error instanceof UserError ? error.problems : [error instanceof Error ? error.message : String(error)]
  for (const problem of problems) console.error(`compare: ${problem}`)
  process.exitCode = error instanceof UserError ? 2 : 1
} finally {
  await machine?.shutdown()
}
