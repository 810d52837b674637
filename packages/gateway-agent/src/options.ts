import type { commonOptions, OptionDeclarations, OptionValues } from '@vpn-gateway/runtime'

/** IFNAMSIZ is 16 with its terminating zero; iptables reads a plus at the end as a wildcard. */
const linkName = (value: string) =>
  /^[a-zA-Z0-9_.-]{1,15}$/.test(value) ? undefined : 'expected a link name of 1 to 15 characters: a-z, A-Z, 0-9, _ . -'

/** The gateway's own options. */
export const gatewayOptions = {
  interface: {
    flag: 'interface',
    value: 'LINK',
    env: 'VPN_GATEWAY_INTERFACE',
    default: 'net1',
    help: "the pod's interface on the gateway network",
    check: linkName,
  },
  primary: {
    flag: 'primary',
    value: 'LINK',
    env: 'VPN_GATEWAY_PRIMARY',
    default: 'eth0',
    help: "the pod's interface on the primary pod network, which carries the encrypted packets",
    check: linkName,
  },
  tunnel: {
    flag: 'tunnel',
    value: 'FILE',
    env: 'VPN_GATEWAY_TUNNEL',
    help: "the provider's wg-quick file, as exported; for NAME.conf, NAME.1.conf, NAME.2.conf and so on take turns with it",
  },
  forwardsFile: {
    flag: 'forwards-file',
    value: 'FILE',
    env: 'VPN_GATEWAY_FORWARDS_FILE',
    default: 'forwards.json',
    help: 'where the forwarded ports are written for other containers, as JSON; relative to --run-dir',
  },
} satisfies OptionDeclarations

/** Values of the gateway's options and of those that every agent has. */
export type GatewayOptions = OptionValues<typeof commonOptions & typeof gatewayOptions>
