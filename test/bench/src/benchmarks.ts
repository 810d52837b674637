import { agentsBenchmark } from './agents.ts'
import type { Benchmark } from './benchmark.ts'
import { flowsBenchmark } from './flows.ts'
import { imagesBenchmark } from './images.ts'
import { nodeBenchmark } from './node.ts'
import { silenceBenchmark } from './silence.ts'
import { startBenchmark } from './start.ts'
import { survivalBenchmark } from './survival.ts'
import { throughputBenchmark } from './throughput.ts'

/** All benchmarks by the name that `npm run bench -- NAME` takes. */
export const benchmarks: Readonly<Record<string, Benchmark>> = {
  survival: survivalBenchmark,
  silence: silenceBenchmark,
  throughput: throughputBenchmark,
  flows: flowsBenchmark,
  agents: agentsBenchmark,
  node: nodeBenchmark,
  images: imagesBenchmark,
  start: startBenchmark,
}
