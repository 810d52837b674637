/** The comparison inside the machine: figures as JSON on standard output, what happens on standard error. */
import { parseArgs } from 'node:util'
import { compareWays } from './comparison.ts'

const { values } = parseArgs({ options: { flows: { type: 'string', default: '60' } } })
const say = (text: string) => void process.stderr.write(`${text}\n`)

try {
  const results = await compareWays(Number(values.flows), say)
  process.stdout.write(`${JSON.stringify(results)}\n`)
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
// What a failed step left open must not keep the program from ending.
process.exit()
