/** Runs one benchmark where it is started: figures as JSON on standard output, what it does on standard error. */
import { benchmarks } from './benchmarks.ts'
import type { Scale } from './scale.ts'

const [, , name = '', scale = '{"emulated":false}'] = process.argv
const benchmark = benchmarks[name]
if (benchmark === undefined) throw new Error(`no benchmark ${name}`)
const figures = await benchmark.run((line) => void process.stderr.write(`${line}\n`), JSON.parse(scale) as Scale)
process.stdout.write(`${JSON.stringify(figures)}\n`)
