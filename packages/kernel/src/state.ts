/**
 * The vocabulary of kernel objects that every agent desires, observes and compares.
 * Field names are those of rtnetlink(7) and iproute2; addresses are in CIDR text form as the kernel prints it.
 */

export type Family = 4 | 6

/** Attributes that make a VXLAN link what it is (ip-link(8), RFC 7348). All are fixed at creation but `learning`. */
export interface VxlanAttributes {
  /** VXLAN network identifier, 1 to 16777215. */
  id: number
  /** UDP destination port, 1 to 65535; IANA's is 4789. */
  port: number
  /** Device that carries the encapsulated frames. */
  underlay?: string
  /** Source address of the outer header. */
  local?: string
  /** Multicast group that floods go to; absent with unicast peers, which are forwarding entries. */
  group?: string
  /** Whether remote addresses are learned from received frames. */
  learning: boolean
  /** Whether the outer IPv4 UDP header carries a checksum; kernels differ in their default. */
  udpChecksum?: boolean
}

/** Per-port settings of a link that is attached to a bridge (bridge(8)). */
export interface Link {
  name: string
  /** `bridge`, `vxlan`, `wireguard`, `veth`, … as in `ip -d link`; empty for a physical device. */
  kind: string
  /** Bytes. */
  mtu: number
  /** Administratively up (IFF_UP). */
  up: boolean
  /** Carrier: the link can pass frames now (IFF_LOWER_UP). */
  carrier: boolean
  mac?: string
  /** Bridge that this link is a port of. */
  master?: string
  /** ifalias; the mark of ownership, see `Owner.alias`. */
  alias?: string
  vxlan?: VxlanAttributes
}

/** A link that an agent wants: what is left out is left alone. */
export interface LinkSpec {
  name: string
  /** A `tun` is made by the daemon that it belongs to: it is set, and neither added nor deleted. */
  kind: 'bridge' | 'vxlan' | 'wireguard' | 'dummy' | 'tun'
  /** One of this name and kind that bears no alias was made on the owner's behalf, and is taken over. */
  takeOver?: boolean
  mtu?: number
  up?: boolean
  mac?: string
  master?: string
  vxlan?: VxlanAttributes
}

export interface Address {
  dev: string
  /** Address with prefix length, `10.9.0.2/32`. */
  address: string
  family: Family
  /** Seconds that are left of the address' life; absent for ever. */
  validLifetime?: number
}

export interface Nexthop {
  via?: string
  dev: string
  /** 1 to 256; only meaningful with more than one next hop. */
  weight?: number
}

export interface Route {
  family: Family
  /** Table number; 254 is main. */
  table: number
  type: 'unicast' | 'local' | 'unreachable' | 'blackhole' | 'prohibit'
  /** `default`, or a CIDR; a single address carries its /32 or /128. */
  dst: string
  /** One for an ordinary route, several for multipath, none for unreachable and the like. */
  nexthops: Nexthop[]
  metric?: number
  /** Routing protocol number (rtm_protocol); the mark of ownership. */
  protocol: number
  source?: string
  mtu?: number
}

export type RouteSpec = Omit<Route, 'protocol'>

export interface Rule {
  family: Family
  priority: number
  from?: string
  to?: string
  iif?: string
  oif?: string
  /** Mark and mask; mask 0xffffffff when the kernel prints none. */
  fwmark?: { mark: number; mask: number }
  ipProtocol?: string
  table: number
  /** Protocol number of the rule; the mark of ownership. */
  protocol: number
}

export type RuleSpec = Omit<Rule, 'protocol'>

/** One entry of a bridge or VXLAN forwarding database (bridge-fdb(8)). */
export interface FdbEntry {
  dev: string
  mac: string
  /** Remote VTEP. */
  dst?: string
  /** `permanent`, `static` or empty for learned. */
  state: string
}

/** What an agent wants of one iptables table: policies of built-in chains, its own chains, and the jumps into them. */
export interface IptablesSpec {
  family: Family
  table: 'filter' | 'nat' | 'mangle' | 'raw'
  /** Built-in chain to policy; only the ones named are managed. */
  policies: Record<string, 'ACCEPT' | 'DROP'>
  /** Own chain to its rules, each as `iptables-save` prints it after `-A CHAIN `. */
  chains: Record<string, string[]>
  /** Built-in chain to own chain; the jump is unconditional and is the built-in chain's first rule. */
  jumps: Record<string, string>
}

/** One iptables table as `iptables-save` prints it. */
export interface IptablesTable {
  family: Family
  table: string
  policies: Record<string, string>
  chains: Record<string, string[]>
}

/** An nftables table that is wholly the agent's own: replaced as one transaction. */
export interface NftTable {
  family: 'ip' | 'ip6' | 'inet' | 'bridge' | 'arp' | 'netdev'
  name: string
  /** The table's body, each line as `nft --stateless list table` prints it, tabs included. */
  body: string
}

export interface WireguardPeer {
  publicKey: string
  presharedKey?: string
  /** `address:port` as the kernel holds it; absent while unknown. */
  endpoint?: string
  allowedIps: string[]
  /** Unix seconds, 0 before the first handshake. */
  latestHandshake: number
  /** Bytes. */
  received: number
  /** Bytes. */
  sent: number
  /** Seconds; absent when off. */
  persistentKeepalive?: number
}

export interface WireguardDevice {
  name: string
  publicKey?: string
  listenPort: number
  fwmark?: number
  peers: WireguardPeer[]
}

/** Desired WireGuard configuration; private and preshared keys live only here and on `wg`'s standard input. */
export interface WireguardSpec {
  name: string
  privateKey: string
  publicKey: string
  fwmark?: number
  listenPort?: number
  peers: {
    publicKey: string
    presharedKey?: string
    endpoint?: string
    allowedIps: string[]
    persistentKeepalive?: number
  }[]
}

/** What an agent wants the kernel to hold. Absent kinds are not managed. */
export interface DesiredState {
  links?: LinkSpec[]
  addresses?: { dev: string; address: string; family: Family }[]
  routes?: RouteSpec[]
  rules?: RuleSpec[]
  fdb?: FdbEntry[]
  /** Key in dotted or slashed form below /proc/sys to value. */
  sysctls?: Record<string, string>
  iptables?: IptablesSpec[]
  nft?: NftTable[]
  wireguard?: WireguardSpec[]
}

/** What was read from the kernel. Kinds that were not asked for are empty. */
export interface ObservedState {
  links: Link[]
  addresses: Address[]
  routes: Route[]
  rules: Rule[]
  fdb: FdbEntry[]
  sysctls: Record<string, string | undefined>
  iptables: IptablesTable[]
  nft: NftTable[]
  wireguard: WireguardDevice[]
}

/** How an agent marks what is its own; nothing outside of it is ever deleted. */
export interface Owner {
  /** ifalias that own links carry. */
  alias: string
  /** rtm_protocol of own routes and rules, 5 to 255 and not one of the kernel's or a daemon's. */
  protocol: number
  /** Inclusive range of rule priorities. */
  rulePriorities: readonly [number, number]
  /** Prefix of own iptables chains. */
  chainPrefix: string
  /** Names of own nft tables, also ones that may no longer be desired. */
  nftTables: readonly string[]
  /** VXLAN devices whose forwarding entries with an all-zero MAC are the agent's. */
  fdbDevices?: readonly string[]
  /**
   * A next hop whose routes are there for the agent to take away, whoever made them: they go as soon as its filters stand.
   */
  untilFiltered?: Nexthop
}
