/** The kernel modules of the lab: what every run needs loaded, and what its machine needs to reach its files. */

/** Without these the promises cannot be kept: they must exist. */
export const REQUIRED_MODULES = [
  'ip_vs',
  'ip_vs_mh',
  'ip_vs_rr',
  'ip_vs_sh',
  'ip_vs_wlc',
  'ip_vs_wrr',
  'nf_conntrack',
  'nf_conntrack_netlink',
  'nf_tables',
  'veth',
  'bridge',
  'vxlan',
  'wireguard',
] as const

/**
 * Loaded where they exist: extensions that iptables and nft would ask for one at a time, on first use. br_netfilter is
 * left out: loading it sends bridged frames through iptables everywhere, and a test that wants this loads it itself.
 */
export const USEFUL_MODULES = [
  'nft_compat',
  'nft_chain_nat',
  'nft_ct',
  'nft_limit',
  'nft_log',
  'nft_masq',
  'nft_reject',
  'nft_reject_inet',
  'nft_reject_ipv4',
  'nft_reject_ipv6',
  'xt_CT',
  'xt_MASQUERADE',
  'xt_TCPMSS',
  'xt_addrtype',
  'xt_comment',
  'xt_connmark',
  'xt_conntrack',
  'xt_limit',
  'xt_mark',
  'xt_multiport',
  'xt_nat',
  'xt_tcpudp',
  'sch_netem',
  'dummy',
  'tun',
  'virtio_rng',
] as const

/** Needed before the root file system is there; they go into the initial RAM disk with all that they depend on. */
export const BOOT_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'] as const

/** Module names are the same with - and _; files use either. */
const canonical = (name: string): string => name.replaceAll('-', '_')

function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1)
  return canonical(file.replace(/\.ko(\.(xz|zst|gz))?$/, ''))
}

/**
 * Paths of the files that must be loaded for `wanted`, dependencies first, each once. `dependencies` is depmod's
 * modules.dep, whose lines name a file and all that it needs, nearest last; `builtin` is modules.builtin. Throws for a
 * module that is neither.
 */
export function loadOrder(wanted: readonly string[], dependencies: string, builtin: string): string[] {
  const entries = new Map<string, string[]>()
  for (const line of dependencies.split('\n')) {
    const colon = line.indexOf(':')
    if (colon < 0) continue
    const path = line.slice(0, colon)
    const needs = line.slice(colon + 1).trim()
    entries.set(moduleName(path), [path, ...(needs === '' ? [] : needs.split(' '))])
  }
  const inKernel = new Set(builtin.split('\n').filter(Boolean).map(moduleName))
  const order = new Set<string>()
  for (const name of wanted.map(canonical)) {
    const entry = entries.get(name)
    if (entry) for (const path of entry.toReversed()) order.add(path)
    else if (!inKernel.has(name)) throw new Error(`this kernel has no module ${name}`)
  }
  return [...order]
}
