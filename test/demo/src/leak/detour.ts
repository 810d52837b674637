/**
 * Ways around the active router that a client's root can make: routes by each gateway, router and the node itself, and IPv6,
 * which no attachment of a client has. Neighbours are set by hand, since none of them answers for IPv6.
 */
import type { Lab } from '@vpn-gateway/lab'

export interface Detour {
  /** Namespace of the gateway, router or node. */
  host: string
  /** Its link on the gateway network. */
  link: string
  /** Its address there; one that nobody has for a node, which has none. */
  via: string
  /** Address on the Internet that is routed by it. */
  direct: string
  via6: string
  direct6: string
}

/** Addresses that no pod gets, for nodes; the client range begins at the other end. */
const nodeVia = (index: number): string => `192.168.50.${238 - index}`

/** All ways around, in a lab whose pods are all attached; a pod that is made anew has the same address again. */
export function detoursOf({ topology, state }: Lab): Detour[] {
  const pods = topology.pods.filter(({ kind }) => kind !== 'client')
  const clients = topology.pods.filter(({ kind }) => kind === 'client')
  const byPod = pods.map(({ name, directAddress }) => ({
    host: name,
    link: 'net1',
    via: state.attached[name]?.['net1']?.address.split('/')[0] ?? '',
    direct: directAddress,
  }))
  // A client's own direct address, which nobody else needs, serves for the node.
  const byNode = topology.nodes.map(({ name }, index) => ({
    host: name,
    link: 'vpn-gateway',
    via: nodeVia(index),
    direct: clients[index]?.directAddress ?? '',
  }))
  return [...byPod, ...byNode].map((way, index) => ({
    ...way,
    via6: `2001:db8:50::f${index}`,
    direct6: `2001:db8:ffff::${index + 1}`,
  }))
}

/** Makes the ways in clients' namespaces, by the MACs that there are now; those of IPv4 only in one of them. */
export async function openDetours(
  lab: Lab,
  detours: readonly Detour[],
  clients: readonly string[],
  rogue: string,
): Promise<void> {
  const ways = await Promise.all(
    detours.map(async (way) => {
      const text = await lab
        .exec(way.host, ['ip', '-j', 'link', 'show', 'dev', way.link])
        .catch(() => '[{"address":"02:00:00:00:00:01"}]')
      const [link] = JSON.parse(text) as { address: string }[]
      return { ...way, mac: link?.address ?? '' }
    }),
  )
  await Promise.all(
    clients.map(async (client, index) => {
      const lines = [
        `address replace 2001:db8:50::${index + 1}/64 dev net1 nodad`,
        ...ways.flatMap(({ via6, direct6, mac }) => [
          `neigh replace ${via6} lladdr ${mac} nud permanent dev net1`,
          `route replace ${direct6}/128 via ${via6} dev net1`,
        ]),
        ...(client === rogue
          ? ways.flatMap(({ via, direct, mac, link }) => [
              ...(link === 'net1' ? [] : [`neigh replace ${via} lladdr ${mac} nud permanent dev net1`]),
              `route replace ${direct}/32 via ${via} dev net1`,
            ])
          : []),
      ]
      const script = `sysctl -qw net.ipv6.conf.net1.disable_ipv6=0\nip -batch - <<'END'\n${lines.join('\n')}\nEND`
      await lab.exec(client, ['bash', '-ec', script])
    }),
  )
}
