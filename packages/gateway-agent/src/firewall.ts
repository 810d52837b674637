/**
 * What may pass, in the words that iptables-save(8) prints, because that is what they are compared with. Every table is
 * replaced in one transaction; the policies of the built-in chains hold when all else is flushed.
 */
import { addressPlan, rangeText, refusedDestinations, type System } from '@vpn-gateway/config'
import type { Family, IptablesSpec } from '@vpn-gateway/kernel'
import { isIP } from 'node:net'
import { forwardTargets, portForwards, type PortForward } from './forward.ts'
import { ingressMark } from './routing.ts'
import type { Tunnel } from './tunnel-file.ts'
import { tunnelLink, tunnelMtu } from './wireguard.ts'
import type { World } from './world.ts'

const closed = { INPUT: 'DROP', FORWARD: 'DROP', OUTPUT: 'DROP' } as const
const refuse4 = '-j REJECT --reject-with icmp-admin-prohibited'
const refuse6 = '-j REJECT --reject-with icmp6-adm-prohibited'
const ongoing = '-m conntrack --ctstate RELATED,ESTABLISHED'
const mark = `0x${ingressMark.mark.toString(16)}/0x${ingressMark.mask.toString(16)}`

/** All tables, the filters first: nothing else is set where they could not be. */
export function desiredFirewall(system: System, tunnel: Tunnel, world: World): IptablesSpec[] {
  return [
    filter4(system, world),
    ...(world.ipv6 ? [filter6(world)] : []),
    mangle(system, tunnel, world),
    nat(system, world),
    raw(system, world, 4),
    ...(world.ipv6 ? [raw(system, world, 6)] : []),
  ]
}

function filter4(system: System, world: World): IptablesSpec {
  return {
    family: 4,
    table: 'filter',
    policies: closed,
    chains: {
      'VG-INPUT': inputRules(system, world),
      'VG-FORWARD': forwardRules(system, world),
      ...Object.fromEntries(
        portForwards(system, world.leased).map((forward) => [forwardChain(forward), ['-j ACCEPT']]),
      ),
      'VG-CLIENTS': clientRules(system),
      'VG-OUTPUT': [
        '-o lo -j ACCEPT',
        `-o ${tunnelLink} -j ACCEPT`,
        `-d ${system.gatewayNetwork.subnet} -o ${world.interface} -j ACCEPT`,
        `-o ${world.primary} -j VG-PRIMARY`,
      ],
      'VG-PRIMARY': [...system.intranet.map((cidr) => `-d ${cidr} -j ACCEPT`), ...primaryRules(world, 4), refuse4],
    },
    jumps: { INPUT: 'VG-INPUT', FORWARD: 'VG-FORWARD', OUTPUT: 'VG-OUTPUT' },
  }
}

/** The pod network's own policies decide who reaches this pod by it; kubelet's probes must. */
function inputRules(system: System, world: World): string[] {
  const { routers, vip } = system.gatewayNetwork
  const net = world.interface
  const http = `--dport ${world.httpPort} -j ACCEPT`
  return [
    '-i lo -j ACCEPT',
    `${ongoing} -j ACCEPT`,
    `-i ${world.primary} -j ACCEPT`,
    '-p icmp -m icmp --icmp-type 8 -j ACCEPT',
    `-i ${net} -p tcp -m iprange --src-range ${rangeText(routers)} -m tcp ${http}`,
    // The active router may ask from the VIP, which is an address of its interface like any other.
    `-s ${vip}/32 -i ${net} -p tcp -m tcp ${http}`,
    `-i ${net} ${refuse4}`,
  ]
}

function forwardRules(system: System, world: World): string[] {
  const { interface: net, primary } = world
  return [
    `-i ${net} -j VG-CLIENTS`,
    `-i ${tunnelLink} -o ${net} ${ongoing} -j ACCEPT`,
    ...portForwards(system, world.leased).map((forward) => passRule(forward, world)),
    // Also what began through a port that is not leased any more. Only what came in by a port: when the gateway network
    // goes first, as when a pod is deleted, the default route would take a client's replies to the pod network.
    `-i ${tunnelLink} -o ${primary} ${ongoing} -m conntrack --ctstate DNAT -j ACCEPT`,
    `-i ${primary} -o ${tunnelLink} ${ongoing} -j ACCEPT`,
  ]
}

function clientRules(system: System): string[] {
  return [
    `! -o ${tunnelLink} ${refuse4}`,
    `-m iprange ! --src-range ${rangeText(system.gatewayNetwork.clients)} ${refuse4}`,
    // NAT leaves packets of no connection as they are: they would enter the tunnel with the client's own address.
    '-m conntrack --ctstate INVALID,UNTRACKED -j DROP',
    `${ongoing} -j ACCEPT`,
    ...refusedDestinations(system).map((cidr) => `-d ${cidr} ${refuse4}`),
    '-j ACCEPT',
  ]
}

/** The agent's own packets on the pod network, but for the intranet: the tunnel's, DNS, the hook, answers. */
function primaryRules(world: World, family: Family): string[] {
  const host = family === 4 ? '/32' : '/128'
  return [
    ...endpointsOf(world, family).map(
      ({ address, port }) => `-d ${address}${host} -p udp -m udp --dport ${port} -j ACCEPT`,
    ),
    ...world.nameServers
      .filter((address) => isIP(address) === family)
      .flatMap((address) =>
        ['udp', 'tcp'].map((protocol) => `-d ${address}${host} -p ${protocol} -m ${protocol} --dport 53 -j ACCEPT`),
      ),
    ...(world.hook === undefined || family === 6
      ? []
      : [`-d ${world.hook.address}/32 -p tcp -m tcp --dport ${world.hook.port} -j ACCEPT`]),
    // Kubelet may ask from an address outside of the intranet.
    '-m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT',
    `-p tcp -m tcp --sport ${world.httpPort} -m conntrack --ctstate UNTRACKED -j ACCEPT`,
  ]
}

function endpointsOf({ endpoints }: World, family: Family): { address: string; port: string }[] {
  return [...new Set(endpoints.values())].map(splitEndpoint).filter(({ address }) => isIP(address) === family)
}

/** `203.0.113.5:51820` or `[2001:db8::5]:51820`. */
function splitEndpoint(text: string): { address: string; port: string } {
  const colon = text.lastIndexOf(':')
  return { address: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: text.slice(colon + 1) }
}

/** The gateway network carries no IPv6: none is forwarded, and the pod's own only by the pod network. */
function filter6(world: World): IptablesSpec {
  const neighbourDiscovery = [133, 135, 136].map((type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j ACCEPT`)
  return {
    family: 6,
    table: 'filter',
    policies: closed,
    chains: {
      'VG-INPUT': ['-i lo -j ACCEPT', `-i ${world.primary} -j ACCEPT`],
      'VG-OUTPUT': ['-o lo -j ACCEPT', `-o ${world.primary} -j VG-PRIMARY`],
      'VG-PRIMARY': [...neighbourDiscovery, ...primaryRules(world, 6), refuse6],
    },
    jumps: { INPUT: 'VG-INPUT', OUTPUT: 'VG-OUTPUT' },
  }
}

/** The MSS must fit the way out and the way in; TCPMSS never raises it (iptables-extensions(8)). */
function mangle(system: System, tunnel: Tunnel, world: World): IptablesSpec {
  const syn = '-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS'
  return {
    family: 4,
    table: 'mangle',
    policies: {},
    chains: {
      'VG-PREROUTING': [
        `-i ${tunnelLink} -m conntrack --ctstate NEW -j CONNMARK --set-xmark ${mark}`,
        `-i ${world.primary} -m connmark --mark ${mark} -j MARK --set-xmark ${mark}`,
      ],
      'VG-FORWARD': [
        `-o ${tunnelLink} ${syn} --clamp-mss-to-pmtu`,
        `-i ${tunnelLink} ${syn} --clamp-mss-to-pmtu`,
        // Clamping looks the way back up in the main table, which does not know that it is the tunnel.
        `-i ${tunnelLink} ${syn} --set-mss ${tunnelMtu(system, tunnel) - 40}`,
      ],
    },
    jumps: { PREROUTING: 'VG-PREROUTING', FORWARD: 'VG-FORWARD' },
  }
}

/**
 * Two rules for each port and protocol: the destination becomes the service's, the source the pod's. Ports that lead to one
 * port of a service share the second.
 */
function nat(system: System, world: World): IptablesSpec {
  const forwards = portForwards(system, world.leased)
  return {
    family: 4,
    table: 'nat',
    policies: {},
    chains: {
      'VG-PREROUTING': forwards.map(translateRule),
      'VG-POSTROUTING': [
        `-o ${tunnelLink} -j MASQUERADE`,
        ...new Set(forwards.map((forward) => sourceRule(forward, world))),
      ],
    },
    jumps: { PREROUTING: 'VG-PREROUTING', POSTROUTING: 'VG-POSTROUTING' },
  }
}

/**
 * What must pass when clients have filled the table of connections, which drops all that is new: health checks of the
 * routers and of kubelet, and the packets that the tunnel travels in. None of it needs to be tracked.
 */
function raw(system: System, world: World, family: Family): IptablesSpec {
  const { interface: net, primary, httpPort } = world
  const { subnet } = system.gatewayNetwork
  const untracked = '-j CT --notrack'
  const host = family === 4 ? '/32' : '/128'
  const endpoints = endpointsOf(world, family)
  const pinged = family === 4 ? addressPlan(system).healthCidrs : []
  const services = forwardTargets(system).filter(({ protocol }) => family === 4 && protocol === 'tcp')
  return {
    family,
    table: 'raw',
    policies: {},
    chains: {
      'VG-PREROUTING': [
        // What a service answers may be for this very port, which was the caller's.
        ...new Set(
          services.map(({ to }) => `-s ${to.address}/32 -i ${primary} -p tcp -m tcp --sport ${to.port} -j RETURN`),
        ),
        `-i ${primary} -p tcp -m tcp --dport ${httpPort} ${untracked}`,
        ...endpoints.map(
          ({ address, port }) => `-s ${address}${host} -i ${primary} -p udp -m udp --sport ${port} ${untracked}`,
        ),
        ...pinged.map((own) => `-s ${subnet} -d ${own} -i ${net} ${untracked}`),
      ],
      'VG-OUTPUT': [
        `-o ${primary} -p tcp -m tcp --sport ${httpPort} ${untracked}`,
        ...endpoints.map(
          ({ address, port }) => `-d ${address}${host} -o ${primary} -p udp -m udp --dport ${port} ${untracked}`,
        ),
        ...pinged.map((own) => `-s ${own} -d ${subnet} -o ${net} ${untracked}`),
      ],
    },
    jumps: { PREROUTING: 'VG-PREROUTING', OUTPUT: 'VG-OUTPUT' },
  }
}

function translateRule({ protocol, port, to }: PortForward): string {
  const target = `${to.address}:${to.port}`
  return `-i ${tunnelLink} -p ${protocol} -m ${protocol} --dport ${port} -j DNAT --to-destination ${target}`
}

function sourceRule({ protocol, to }: PortForward, world: World): string {
  return `-d ${to.address}/32 -o ${world.primary} -p ${protocol} -m ${protocol} --dport ${to.port} -j MASQUERADE`
}

/**
 * The filter's rule for a forward. It asks for the port that was dialled, so that nobody inside the provider's network gets
 * to the service's address by naming it.
 */
function passRule(forward: PortForward, world: World): string {
  const { protocol, port, to } = forward
  const way = `-d ${to.address}/32 -i ${tunnelLink} -o ${world.primary} -p ${protocol}`
  const dialled = `-m conntrack --ctstate DNAT --ctorigdstport ${port} -m ${protocol} --dport ${to.port}`
  return `${way} ${dialled} -j ${forwardChain(forward)}`
}

/**
 * Name of the filter's chain for a forward, whose one rule counts the packets and bytes towards the service. A chain of its
 * own, because one that is replaced counts from zero again: a forward that comes or goes must not touch the others' figures.
 */
export function forwardChain({ protocol, port }: Pick<PortForward, 'protocol' | 'port'>): string {
  return `VG-${protocol.toUpperCase()}-${port}`
}
