/** The cluster's primary network: it routes pods to each other and, by itself, also out: what a leak would use. */
import type { Runner } from '@vpn-gateway/kernel'
import { CLUSTER } from './addresses.ts'
import { runIn } from './namespace.ts'

const masquerade = `table ip cluster {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" masquerade
  }
}
`

/** Lets the cluster forward and masquerade towards the Internet. */
export async function openCluster(runner: Runner): Promise<void> {
  await Promise.all([
    runIn(runner, CLUSTER, ['nft', '-f', '-'], { stdin: masquerade }),
    runIn(runner, CLUSTER, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']),
  ])
}
