/**
 * The shape of the system file. Every object is strict: an unknown key is an error, not a wish.
 * What needs more than one field to judge (overlaps, MTU chain) is in `check.ts`.
 */
import { z } from 'zod'
import { address4, anyAddress, cidr4, range4 } from './address.ts'
import { parseProbeTarget } from './probe-target.ts'

const port = z.int().min(1).max(65535)
const httpUrl = z.string().refine((url) => /^https?:/i.test(url) && URL.canParse(url), 'expected an http or https URL')
const mtu = z.int().min(576).max(65535)
/** IFNAMSIZ is 16 with its terminating zero; VXLAN links append a suffix of two to a bridge's name. */
const bridgeName = z.string().regex(/^[a-z][a-z0-9-]{0,12}$/, 'expected a link name of 1 to 13 characters: a-z, 0-9, -')
const vxlan = z.strictObject({
  /** VXLAN network identifier (RFC 7348). */
  vni: z.int().min(1).max(16777215),
})

const hostName = z
  .string()
  .regex(/^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?$/, 'expected a host name')

const gatewayNetwork = z.strictObject({
  subnet: cidr4,
  clients: range4,
  vip: address4,
  routers: range4,
  gateways: range4,
  /** Bytes; of the pods' interfaces on this network. */
  mtu,
  bridge: bridgeName,
  vxlan,
})

const routerNetwork = z.strictObject({
  subnet: cidr4,
  /** Bytes; of the routers' interfaces on this network. */
  mtu,
  bridge: bridgeName,
  vxlan,
})

const underlay = z.strictObject({
  /** `default-route`, a link's name, or a CIDR that the device has an address in. */
  device: z.string().min(1).default('default-route'),
  /** IP version of the outer headers; what the networks carry inside is IPv4 either way. */
  ipFamily: z.literal([4, 6]).default(4),
  mtu,
  vxlanPort: port.default(4789),
  peers: z.union([
    z.strictObject({ multicast: anyAddress }),
    z.strictObject({ addresses: z.array(anyAddress).min(1) }),
    /** Name whose addresses are those of all nodes: the headless Service of the node agents. */
    z.strictObject({ dns: hostName }),
    /** All nodes of the cluster, as its API has them. */
    z.strictObject({ kubernetes: z.literal('nodes') }),
  ]),
})

/** What node agents do beside links. */
const node = z.strictObject({
  /** Load missing kernel modules with modprobe, for which the agent is given CAP_SYS_MODULE; otherwise only name them. */
  loadModules: z.boolean().default(false),
})

/** How a gateway proves that its tunnel carries traffic. */
const probe = z.strictObject({
  /** Reached through the tunnel; one answer of any of them is enough. */
  targets: z
    .array(
      z
        .string()
        .refine(
          (target) => parseProbeTarget(target) !== undefined,
          'expected ADDRESS:PORT, icmp:ADDRESS or http://ADDRESS[:PORT]/PATH, with an IPv4 address',
        ),
    )
    .min(1)
    .default(['1.1.1.1:443', '9.9.9.9:443']),
  /** Seconds between two probes while answers come. */
  interval: z.number().min(0.2).max(60).default(1),
  /** Seconds that one probe may take. */
  timeout: z.number().min(0.1).max(60).default(1),
  /** Seconds without any answer after which the tunnel is down; twice as many until sixteen probes went by unanswered. */
  window: z.number().min(0.5).max(300).default(2.5),
})

const tunnel = z.strictObject({
  /** Bytes; for tunnel files that name no MTU. */
  mtu: mtu.default(1420),
  probe: probe.prefault({}),
  /** http or https; asked through the tunnel, answers with a line that holds the asker's address. Absent: not asked. */
  exitAddressUrl: httpUrl.optional(),
})

const gateway = z.strictObject({
  /** IPVS weight of a gateway, by address; 1 to 65535. Others have 100. */
  weights: z.record(z.string(), z.int().min(1).max(65535)).default({}),
  /** Seconds that a terminating gateway waits for its flows to end. */
  drainSeconds: z.number().min(0).max(86400).default(300),
  /** http or https; is sent the gateway's forwards by POST, over the pod network, when they change. Absent: not called. */
  forwardsHook: httpUrl.optional(),
})

const stickiness = z.strictObject({
  /** Client addresses that want it; inside `gatewayNetwork.clients`. */
  clients: range4,
  /**
   * `client`: all flows of a client use one gateway. `client-and-destination`: all flows of a client to one address do, and
   * flows to other addresses may use others.
   */
  by: z.enum(['client', 'client-and-destination']).default('client'),
  /** Seconds after the last new flow for which the gateway is remembered; flows that are open keep it longer. */
  seconds: z.int().min(1).max(86400).default(3600),
})

const router = z.strictObject({
  /** VRID (RFC 5798), the same for all routers of a group. */
  virtualRouterId: z.int().min(1).max(255).default(51),
  /** Seconds between VRRP advertisements; 0.01 to 40.95 (RFC 5798, centiseconds). */
  advertInterval: z.number().min(0.01).max(40.95).default(0.2),
  scheduler: z.enum(['wlc', 'wrr', 'lc', 'rr', 'mh', 'sh']).default('wlc'),
  /** Clients whose flows stay with one gateway, for sites that bind a session to an address. */
  stickiness: z.array(stickiness).max(16).default([]),
  /** A gateway has failed after interval + timeout + a quarter of the interval + timeout at the latest: by default 0.95 s. */
  healthCheck: z
    .strictObject({
      /** Seconds between two checks of a gateway. */
      interval: z.number().min(0.1).max(60).default(0.2),
      /** Seconds that one check may take. */
      timeout: z.number().min(0.1).max(60).default(0.35),
    })
    .prefault({}),
})

/** A port that the provider lends: asked for, renewed and followed by the gateway. */
const lease = z.strictObject({
  protocol: z.literal('nat-pmp'),
  /** The provider's end of the tunnel; the default is Proton's. */
  gateway: address4.default('10.2.0.1'),
  /** Seconds to ask for; the provider may grant less. */
  lifetime: z.int().min(10).max(86400).default(60),
  /**
   * Port at the gateway's end of the tunnel, which the provider is asked to map to; the service's unless said. 0 leaves it
   * to the provider, which RFC 6886 does not know and some providers' own instructions ask for.
   */
  internalPort: z.int().min(0).max(65535).optional(),
})

const forward = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, 'expected a name of 1 to 32 characters: a-z, 0-9, -'),
  protocol: z.enum(['tcp', 'udp', 'both']).default('tcp'),
  /** Port at the exit, as the provider forwards it; there is either this or a lease. */
  port: port.optional(),
  lease: lease.optional(),
  /** Fixed service address; its port defaults to the exit's, and has to be said where that is leased. */
  to: z.strictObject({ address: address4, port: port.optional() }),
})

export const systemSchema = z.strictObject({
  version: z.literal(1),
  intranet: z.array(cidr4).min(1),
  gatewayNetwork,
  /** Absent in the single-gateway installation, which has no routers. */
  routerNetwork: routerNetwork.optional(),
  underlay,
  node: node.prefault({}),
  tunnel: tunnel.prefault({}),
  gateway: gateway.prefault({}),
  router: router.prefault({}),
  forwards: z.array(forward).default([]),
})

/** The validated system file. */
export type System = z.infer<typeof systemSchema>
export type Forward = System['forwards'][number]
