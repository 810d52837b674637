import type { commonOptions, OptionDeclarations, OptionValues } from '@vpn-gateway/runtime'

/** IFNAMSIZ is 16 with its terminating zero; iptables reads a plus at the end as a wildcard. */
const linkName = (value: string) =>
  /^[a-zA-Z0-9_.-]{1,15}$/.test(value) ? undefined : 'expected a link name of 1 to 15 characters: a-z, A-Z, 0-9, _ . -'

/** The router's own options. */
export const routerOptions = {
  interface: {
    flag: 'interface',
    value: 'LINK',
    env: 'VPN_GATEWAY_INTERFACE',
    default: 'net1',
    help: "the pod's interface on the gateway network, where the VIP is held",
    check: linkName,
  },
  routerInterface: {
    flag: 'router-interface',
    value: 'LINK',
    env: 'VPN_GATEWAY_ROUTER_INTERFACE',
    default: 'net2',
    help: "the pod's interface on the router network: VRRP, IPVS sync, conntrackd",
    check: linkName,
  },
} satisfies OptionDeclarations

/** Values of the router's options and of those that every agent has. */
export type RouterOptions = OptionValues<typeof commonOptions & typeof routerOptions>
