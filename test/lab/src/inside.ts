/** `lab up|down|status`: the lab on this machine's own kernel, as root. */
import { parseArgs } from 'node:util'
import { UserError } from '@vpn-gateway/config'
import { bringUp, takeDown } from './bring-up.ts'
import { openLab } from './lab.ts'
import { renderStatus } from './status.ts'

const usage = `usage: lab up [--single] [--config FILE] [--images DIR]   bring the lab up
       lab down                            end it and delete its namespaces
       lab status                          what runs, and how it is`

async function main(argv: string[]): Promise<void> {
  const { values, positionals } = parseArguments(argv)
  switch (positionals[0]) {
    case 'up': {
      const lab = await bringUp({
        variant: values.single === true ? 'single' : 'full',
        ...(values.config === undefined ? {} : { systemFile: values.config }),
        ...(values.images === undefined ? {} : { images: values.images }),
        onStep: (step, elapsedMs) => console.log(`${(elapsedMs / 1000).toFixed(1).padStart(5)} s  ${step}`),
      })
      lab.close()
      return
    }
    case 'down':
      await takeDown()
      return
    case 'status': {
      const lab = openLab()
      console.log(await renderStatus(lab))
      lab.close()
      return
    }
    default:
      throw new UserError(usage.split('\n'))
  }
}

function parseArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { single: { type: 'boolean' }, config: { type: 'string' }, images: { type: 'string' } },
    })
  } catch (error) {
    throw new UserError([error instanceof Error ? error.message : String(error), ...usage.split('\n')])
  }
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UserError) console.error(error.problems.join('\n'))
  else console.error(`lab: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = error instanceof UserError ? 2 : 1
}
// What a failed step left open must not keep the command from ending.
process.exit()
