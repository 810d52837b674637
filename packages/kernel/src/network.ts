import { parseAddresses } from './address.ts'
import type { Runner } from './command.ts'
import { readItems } from './json.ts'
import { parseLinks } from './link.ts'
import { parseRoutes } from './route.ts'
import { parseRules } from './rule.ts'
import type { Address, Family, Link, Route, Rule } from './state.ts'

/** What one call of `ip` can list. */
export type NetworkObject = 'link' | 'address' | 'route' | 'rule'

export interface Network {
  links: Link[]
  addresses: Address[]
  routes: Route[]
  rules: Rule[]
}

const listCommand: Record<NetworkObject, string> = {
  link: 'link show',
  address: 'address show',
  route: 'route show table all',
  rule: 'rule show',
}

/** Lists several kinds of objects of a family in one process: starting `ip` costs more than what it does. */
export async function readNetwork(runner: Runner, family: Family, objects: readonly NetworkObject[]): Promise<Network> {
  if (objects.length === 0) return { links: [], addresses: [], routes: [], rules: [] }
  const text = await runner.run({
    argv: ['ip', `-${family}`, '-N', '-details', '-json', '-batch', '-'],
    stdin: `${objects.map((object) => listCommand[object]).join('\n')}\n`,
  })
  return parseNetwork(text, family)
}

/** Parses the JSON arrays, one a command, that `ip -json -batch` prints. An item's own keys tell what it is. */
export function parseNetwork(text: string, family: Family): Network {
  const items: Record<NetworkObject, object[]> = { link: [], address: [], route: [], rule: [] }
  // One array a command, each on lines of its own; a line break cannot stand inside a JSON string.
  const arrays = `[${text.trim().replaceAll(/\][ \t\r]*\n\s*\[/g, '],[')}]`
  const told = readItems<object[], [NetworkObject, object]>('ip', arrays, (array) =>
    array.filter((item) => Object.keys(item).length > 0).map((item) => [objectOf(item), item]),
  )
  for (const [object, item] of told) items[object].push(item)
  return {
    links: parseLinks(JSON.stringify(items.link)),
    addresses: parseAddresses(JSON.stringify(items.address)),
    routes: parseRoutes(JSON.stringify(items.route), family),
    rules: parseRules(JSON.stringify(items.rule), family),
  }
}

function objectOf(item: object): NetworkObject {
  if ('addr_info' in item) return 'address'
  if ('ifindex' in item) return 'link'
  return 'priority' in item ? 'rule' : 'route'
}
