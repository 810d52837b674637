/** The address plan of a system on one screen of 80 columns. */
import { wireguardOverhead4 } from './warnings.ts'
import { addressPlan, parseRange, rangeSize, rangeText, vxlanOverhead, type System } from '@vpn-gateway/config'

export function summary(system: System): string {
  const { gatewayNetwork, routerNetwork, underlay, tunnel, forwards, intranet } = system
  const plan = addressPlan(system)
  const via = routerNetwork === undefined ? (plan.gatewayAddresses[0] ?? plan.vip) : plan.vip
  const range = (text: string) => `${rangeText(text)} (${rangeSize(parseRange(text))})`
  const network = ({ subnet, mtu, bridge, vxlan }: NonNullable<System['routerNetwork']>) =>
    `${subnet}, MTU ${mtu}, bridge ${bridge}, VNI ${vxlan.vni}`
  const rows: [string, string[]][] = [
    ['gateway network', [network(gatewayNetwork)]],
    ['  clients', [range(gatewayNetwork.clients)]],
    ...(routerNetwork === undefined
      ? []
      : ([
          ['  virtual IP', [plan.vip]],
          ['  routers', [range(gatewayNetwork.routers)]],
        ] satisfies [string, string[]][])),
    ['  gateways', [range(gatewayNetwork.gateways)]],
    ['router network', [routerNetwork === undefined ? 'none: one gateway, no routers' : network(routerNetwork)]],
    [
      'underlay',
      [`${underlay.device}, IPv${underlay.ipFamily}, MTU ${underlay.mtu}, VXLAN port ${underlay.vxlanPort}`],
    ],
    ['peers', [peersText(system)]],
    ['tunnel', [`MTU ${tunnel.mtu}`]],
    ['best MTUs', bestMtus(system)],
    ['intranet', wrap(intranet)],
    ['client routes', [`via ${via}`, ...wrap(plan.clientRoutes)]],
    ['forwards', forwards.length === 0 ? ['none'] : forwards.map(forwardText)],
  ]
  return rows
    .flatMap(([name, lines]) => lines.map((line, index) => `${(index === 0 ? name : '').padEnd(labelWidth)}${line}`))
    .join('\n')
}

const labelWidth = 17
const screenWidth = 80

function peersText({ underlay: { peers } }: System): string {
  if ('multicast' in peers) return `multicast group ${peers.multicast}`
  if ('addresses' in peers) return `${peers.addresses.length} nodes by address`
  return 'dns' in peers ? `addresses of ${peers.dns}` : 'nodes of the cluster, by the Kubernetes API'
}

/** Largest values that the chain of MTUs has room for, from the underlay as the file has it. */
function bestMtus(system: System): string[] {
  const { underlay, tunnel, routerNetwork } = system
  const vxlan = underlay.mtu - vxlanOverhead(system)
  const wireguard = underlay.mtu - wireguardOverhead4
  return [
    `VXLAN ${vxlan} (underlay less ${vxlanOverhead(system)}), tunnel ${wireguard} (underlay less ${wireguardOverhead4})`,
    `gateway network ${Math.min(vxlan, tunnel.mtu)} (the smaller of VXLAN and tunnel)`,
    ...(routerNetwork === undefined ? [] : [`router network ${vxlan} (VXLAN)`]),
  ]
}

function forwardText({ name, protocol, port, lease, to }: System['forwards'][number]): string {
  const protocols = protocol === 'both' ? 'tcp and udp' : protocol
  const exit = lease === undefined ? port : `leased from ${lease.gateway}`
  return `${name}: ${protocols} ${exit} to ${to.address}:${to.port ?? port}`
}

/** Words in lines that fit behind the labels. */
function wrap(words: readonly string[]): string[] {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last === undefined || labelWidth + last.length + 1 + word.length > screenWidth) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}
