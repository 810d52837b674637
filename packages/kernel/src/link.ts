import type { Runner } from './command.ts'
import { readItems } from './json.ts'
import type { Link, VxlanAttributes } from './state.ts'

interface RawLink {
  ifname: string
  flags: string[]
  mtu: number
  address?: string
  master?: string
  ifalias?: string
  link_type: string
  linkinfo?: { info_kind?: string; info_data?: RawVxlan }
}

interface RawVxlan {
  id?: number
  port?: number
  link?: string
  local?: string
  local6?: string
  group?: string
  group6?: string
  learning?: boolean
  udp_csum?: boolean
}

/** ARPHRD_ETHER, as a name and as the number that `ip -N` prints. */
const ethernet = new Set(['ether', '[1]'])

/** All links of this network namespace, from `ip -details -json link` (ip-link(8)). */
export async function listLinks(runner: Runner): Promise<Link[]> {
  return parseLinks(await runner.run({ argv: ['ip', '-details', '-json', 'link', 'show'] }))
}

/** Parses what `ip -details -json link show` prints. */
export function parseLinks(text: string): Link[] {
  return readItems<RawLink, Link>('ip link', text, (raw) => {
    const kind = raw.linkinfo?.info_kind ?? ''
    const link: Link = {
      name: raw.ifname,
      kind,
      mtu: raw.mtu,
      up: raw.flags.includes('UP'),
      carrier: raw.flags.includes('LOWER_UP'),
    }
    if (ethernet.has(raw.link_type) && raw.address !== undefined) link.mac = raw.address
    if (raw.master !== undefined) link.master = raw.master
    if (raw.ifalias !== undefined) link.alias = raw.ifalias
    if (kind === 'vxlan' && raw.linkinfo?.info_data !== undefined) link.vxlan = vxlanOf(raw.linkinfo.info_data)
    return [link]
  })
}

function vxlanOf(raw: RawVxlan): VxlanAttributes {
  const vxlan: VxlanAttributes = { id: raw.id ?? 0, port: raw.port ?? 0, learning: raw.learning ?? false }
  if (raw.link !== undefined) vxlan.underlay = raw.link
  const local = raw.local ?? raw.local6
  if (local !== undefined) vxlan.local = local
  const group = raw.group ?? raw.group6
  if (group !== undefined) vxlan.group = group
  if (raw.udp_csum !== undefined) vxlan.udpChecksum = raw.udp_csum
  return vxlan
}
