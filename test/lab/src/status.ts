/** What runs in the lab, as a table for a terminal of 80 columns. */
import type { Lab } from './lab.ts'

/** Renders one line for each namespace that has an agent or takes part in traffic. */
export async function renderStatus(lab: Lab): Promise<string> {
  const { topology, state, agents } = lab
  const holders = await lab.vipHolders()
  const readiness = new Map(
    await Promise.all(agents.names.map(async (name) => [name, await agents.readiness(name)] as const)),
  )
  const agentOf = (name: string): string => {
    const known = readiness.get(name)
    return known === undefined ? '' : [known.state, ...known.reasons].join(': ')
  }
  const rows = [
    ...topology.nodes.map(({ name, address }) => [name, address, '', agentOf(name)]),
    ...topology.pods.map(({ name, node, interfaces }) => [
      name,
      interfaces.map((link) => state.attached[name]?.[link.name]?.address ?? 'detached').join(' '),
      node,
      [agentOf(name), holders.includes(name) ? `holds the VIP ${state.vip}` : ''].filter(Boolean).join(', '),
    ]),
    ...topology.providers.map(({ name, endpoint, exit, gateway }) => [
      name,
      endpoint,
      '',
      `exit ${exit} of ${gateway}`,
    ]),
  ]
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
