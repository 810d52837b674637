/** Who holds the VIP, by looking at the routers' interfaces. */
import type { LabContext } from '../context.ts'

/** Routers whose `net1` has the VIP. */
export async function vipHolders({ runner, topology, state }: LabContext): Promise<string[]> {
  const routers = topology.pods.filter(({ kind }) => kind === 'router')
  const held = await Promise.all(
    routers.map(async ({ name }) => {
      const output = await runner
        .run({ argv: ['ip', '-n', name, '-j', 'addr', 'show', 'dev', 'net1'] })
        .catch(() => '[]')
      const links = JSON.parse(output) as { addr_info?: { local?: string }[] }[]
      return links.some((link) => link.addr_info?.some(({ local }) => local === state.vip))
    }),
  )
  return routers.filter((_, index) => held[index]).map(({ name }) => name)
}
