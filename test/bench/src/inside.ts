/** Runs one benchmark where it is started: figures as JSON on standard output, what it does on standard error. */
import { benchmarks } from './benchmarks.ts'

const name = process.argv[2] ?? ''
const benchmark = benchmarks[name]
if (benchmark === undefined) throw new Error(`no benchmark ${name}`)
const figures = await benchmark.run((line) => void process.stderr.write(`${line}\n`))
process.stdout.write(`${JSON.stringify(figures)}\n`)
