import type { Benchmark } from './benchmark.ts'
import { imagesBenchmark } from './images.ts'
import { nodeBenchmark } from './node.ts'

/** All benchmarks by the name that `npm run bench -- NAME` takes. */
export const benchmarks: Readonly<Record<string, Benchmark>> = {
  node: nodeBenchmark,
  images: imagesBenchmark,
}
