/** Built-in modules that agents get without what only their names would have loaded. */
import { getBuiltinModule } from 'node:process'
import type { Plugin } from 'rolldown'

/**
 * Modules with exports that are made when first looked at: for WebSocket, `node:http` loads all of undici. An `import` has
 * Node look at every export of a module, a property that is read at that one only.
 */
const lazy = new Set(['node:http', 'node:crypto'])

/** What is a value at once: these can be exported under their names. */
function names(module: string): string[] {
  const properties = Object.getOwnPropertyDescriptors(getBuiltinModule(module) ?? {})
  return Object.entries(properties).flatMap(([name, { get }]) => (get === undefined ? [name] : []))
}

/** Has a bundle read properties of these modules in place of importing them. */
export function unhurriedBuiltins(): Plugin {
  const prefix = '\0unhurried:'
  return {
    name: 'unhurried-builtins',
    resolveId: (id, _, { kind }) =>
      kind === 'import-statement' && lazy.has(id) ? { id: `${prefix}${id}`, moduleSideEffects: false } : null,
    load(id) {
      if (!id.startsWith(prefix)) return null
      const module = id.slice(prefix.length)
      const exported = names(module).map((name) => `export const ${name} = /* @__PURE__ */ (() => builtin.${name})()`)
      return [`const builtin = process.getBuiltinModule('${module}')`, 'export default builtin', ...exported].join('\n')
    },
  }
}
