import { defineConfig } from 'rolldown'
import type { RolldownOptions } from 'rolldown'
import { asciiOnly } from './scripts/images/ascii.ts'
import { bundledPackages } from './scripts/images/bundled.ts'
import { unhurriedBuiltins } from './scripts/images/builtin.ts'

const programs = {
  'gateway-agent': 'packages/gateway-agent/src/main.ts',
  'router-agent': 'packages/router-agent/src/main.ts',
  'node-agent': 'packages/node-agent/src/main.ts',
  'vpn-gateway': 'packages/cli/src/main.ts',
  lab: 'test/lab/src/inside.ts',
  'lab-answer': 'test/lab/src/traffic/answer-main.ts',
  'lab-flows': 'test/lab/src/traffic/flows-main.ts',
  'lab-planner': 'test/lab/src/pods/planner-main.ts',
  'lab-sender': 'test/lab/src/traffic/sender-main.ts',
  'lab-compare': 'test/compare/src/story.ts',
  'lab-demo': 'test/demo/src/story.ts',
  'lab-failover': 'test/demo/src/failover.ts',
  'lab-chaos': 'test/demo/src/chaos/chaos.ts',
  'lab-leaks': 'test/demo/src/leaks.ts',
  bench: 'test/bench/src/inside.ts',
  'bench-flows': 'test/bench/src/many-flows-main.ts',
}

/**
 * One ES module per program, so that nothing but Node is needed to run it: several inputs of one build would share
 * chunks. Function names stay for readable stacks.
 */
export default defineConfig(
  Object.entries(programs).map(([name, input]): RolldownOptions => ({
    input: { [name]: input },
    platform: 'node',
    // What goes into images.
    plugins:
      name.endsWith('-agent') || name === 'vpn-gateway' ? [unhurriedBuiltins(), bundledPackages(), asciiOnly()] : [],
    // What import() names is in the same file, and run when it is asked for.
    output: {
      dir: 'dist',
      format: 'esm',
      entryFileNames: '[name].mjs',
      codeSplitting: false,
      minify: { mangle: { keepNames: true } },
    },
  })),
)
