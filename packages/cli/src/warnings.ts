/** What a valid system file allows but is seldom meant. Pure; one line each, the field first. */
import { cidrContains, parseRange, rangeSize, type System } from '@vpn-gateway/config'

/** Bytes that WireGuard adds to a packet over IPv4: IP 20, UDP 8, its own header and tag 32. */
export const wireguardOverhead4 = 60

/** `clusterCidrs` are the networks of the cluster's services and pods, which no system file names. */
export function warnings(system: System, clusterCidrs: readonly string[] = []): string[] {
  return [
    ...clusterCidrs.flatMap((cidr) => clusterWarnings(system, cidr)),
    ...underlayWarnings(system),
    ...tunnelWarnings(system),
    ...gatewayWarnings(system),
  ]
}

function isInside({ intranet }: System, cidr: string): boolean {
  const [address = '', prefix = ''] = cidr.split('/')
  return intranet.some((known) => Number(known.split('/')[1]) <= Number(prefix) && cidrContains(known, address))
}

function clusterWarnings(system: System, cidr: string): string[] {
  if (cidr.includes(':')) {
    return [`the cluster has IPv6, ${cidr}: client pods would use theirs for the internet, outside of the tunnels`]
  }
  if (isInside(system, cidr)) return []
  return [
    `intranet: ${cidr} of the cluster is not within one of its networks: client pods would look for it on the internet`,
  ]
}

function underlayWarnings(system: System): string[] {
  const { peers } = system.underlay
  const addresses = 'addresses' in peers ? peers.addresses : []
  return addresses.flatMap((address, index) =>
    isInside(system, `${address}/32`)
      ? []
      : [
          `underlay.peers.addresses[${index}]: ${address} is outside the intranet: client pods would look for this node on the internet`,
        ],
  )
}

function tunnelWarnings({ tunnel, underlay }: System): string[] {
  const lines: string[] = []
  const most = underlay.mtu - wireguardOverhead4
  if (tunnel.mtu > most) {
    lines.push(
      `tunnel.mtu: ${tunnel.mtu} is more than underlay.mtu ${underlay.mtu} less ${wireguardOverhead4} bytes of WireGuard: full packets would leave in fragments; expected at most ${most}`,
    )
  }
  const { interval, timeout, window } = tunnel.probe
  // One that is no longer than the interval is refused.
  if (window > interval && window < interval + timeout) {
    lines.push(
      `tunnel.probe.window: ${window} s is less than tunnel.probe.interval ${interval} s and tunnel.probe.timeout ${timeout} s together: one late answer would take the tunnel down`,
    )
  }
  return lines
}

function gatewayWarnings({ gatewayNetwork, routerNetwork }: System): string[] {
  if (routerNetwork === undefined || rangeSize(parseRange(gatewayNetwork.gateways)) > 1) return []
  return ['gatewayNetwork.gateways: has one address: routers have no other gateway to turn to when it dies']
}
