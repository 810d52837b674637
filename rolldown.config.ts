import { defineConfig } from 'rolldown'

/** One ES module per program, so that nothing but Node is needed to run it. Function names stay for readable stacks. */
export default defineConfig({
  input: {
    'gateway-agent': 'packages/gateway-agent/src/main.ts',
    'router-agent': 'packages/router-agent/src/main.ts',
    'node-agent': 'packages/node-agent/src/main.ts',
  },
  platform: 'node',
  output: { dir: 'dist', format: 'esm', entryFileNames: '[name].mjs', minify: { mangle: { keepNames: true } } },
})
