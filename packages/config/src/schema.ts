/**
 * The shape of the system file. Every object is strict: an unknown key is an error, not a wish.
 * What needs more than one field to judge (overlaps, MTU chain) is in `check.ts`.
 */
import { z } from 'zod'
import { address4, cidr4, range4 } from './address.ts'

const port = z.int().min(1).max(65535)
const mtu = z.int().min(576).max(65535)
/** IFNAMSIZ is 16 with its terminating zero; VXLAN links append a suffix of two to a bridge's name. */
const bridgeName = z.string().regex(/^[a-z][a-z0-9-]{0,12}$/, 'expected a link name of 1 to 13 characters: a-z, 0-9, -')
const vxlan = z.strictObject({
  /** VXLAN network identifier (RFC 7348). */
  vni: z.int().min(1).max(16777215),
})

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
  mtu,
  vxlanPort: port.default(4789),
  peers: z.union([z.strictObject({ multicast: address4 }), z.strictObject({ addresses: z.array(address4).min(1) })]),
})

/** How a gateway proves that its tunnel carries traffic. */
const probe = z.strictObject({
  /** Reached by TCP through the tunnel; one answer of any of them is enough. */
  targets: z
    .array(
      z.string().refine((target) => {
        const [, address = '', number] = /^([\d.]+):(\d{1,5})$/.exec(target) ?? []
        return address4.safeParse(address).success && Number(number) >= 1 && Number(number) <= 65535
      }, 'expected ADDRESS:PORT with an IPv4 address'),
    )
    .min(1)
    .default(['1.1.1.1:443', '9.9.9.9:443']),
  /** Seconds between two probes while answers come. */
  interval: z.number().min(0.2).max(60).default(1),
  /** Seconds that one probe may take. */
  timeout: z.number().min(0.1).max(60).default(1),
  /** Seconds without any answer after which the tunnel is down. */
  window: z.number().min(0.5).max(300).default(3),
})

const tunnel = z.strictObject({
  /** Bytes; for tunnel files that name no MTU. */
  mtu: mtu.default(1420),
  probe: probe.prefault({}),
})

const gateway = z.strictObject({
  /** IPVS weight of a gateway, by address; 1 to 65535. Others have 100. */
  weights: z.record(z.string(), z.int().min(1).max(65535)).default({}),
  /** Seconds that a terminating gateway waits for its flows to end. */
  drainSeconds: z.number().min(0).max(86400).default(300),
})

const router = z.strictObject({
  /** VRID (RFC 5798), the same for all routers of a group. */
  virtualRouterId: z.int().min(1).max(255).default(51),
  /** Seconds between VRRP advertisements; 0.01 to 40.95 (RFC 5798, centiseconds). */
  advertInterval: z.number().min(0.01).max(40.95).default(0.2),
  scheduler: z.enum(['wlc', 'wrr', 'lc', 'rr', 'mh', 'sh']).default('wlc'),
  healthCheck: z
    .strictObject({
      /** Seconds between two checks of a gateway. */
      interval: z.number().min(0.1).max(60).default(0.8),
      /** Seconds that one check may take. */
      timeout: z.number().min(0.1).max(60).default(0.7),
    })
    .prefault({}),
})

const forward = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, 'expected a name of 1 to 32 characters: a-z, 0-9, -'),
  protocol: z.enum(['tcp', 'udp', 'both']).default('tcp'),
  /** Port at the exit, as the provider forwards it. */
  port,
  /** Fixed service address; its port defaults to the exit's. */
  to: z.strictObject({ address: address4, port: port.optional() }),
})

export const systemSchema = z.strictObject({
  version: z.literal(1),
  intranet: z.array(cidr4).min(1),
  gatewayNetwork,
  /** Absent in the single-gateway installation, which has no routers. */
  routerNetwork: routerNetwork.optional(),
  underlay,
  tunnel: tunnel.prefault({}),
  gateway: gateway.prefault({}),
  router: router.prefault({}),
  forwards: z.array(forward).default([]),
})

/** The validated system file. */
export type System = z.infer<typeof systemSchema>
export type Forward = System['forwards'][number]
