import { defineConfig } from 'rolldown'
import type { RolldownOptions } from 'rolldown'

const programs = {
  'gateway-agent': 'packages/gateway-agent/src/main.ts',
  'router-agent': 'packages/router-agent/src/main.ts',
  'node-agent': 'packages/node-agent/src/main.ts',
  lab: 'test/lab/src/inside.ts',
  'lab-answer': 'test/lab/src/traffic/answer-main.ts',
  'lab-flows': 'test/lab/src/traffic/flows-main.ts',
  'lab-demo': 'test/demo/src/story.ts',
}

/**
 * One ES module per program, so that nothing but Node is needed to run it: several inputs of one build would share
 * chunks. Function names stay for readable stacks.
 */
export default defineConfig(
  Object.entries(programs).map(([name, input]): RolldownOptions => ({
    input: { [name]: input },
    platform: 'node',
    output: { dir: 'dist', format: 'esm', entryFileNames: '[name].mjs', minify: { mangle: { keepNames: true } } },
  })),
)
