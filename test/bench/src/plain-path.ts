/**
 * A second way from a client to the Internet, beside the product's: a router and a gateway that are routes, one masquerade
 * and WireGuard, on the same nodes, bridges, provider and kernel. Both can be measured in turns.
 */
import { createRunner } from '@vpn-gateway/kernel'
import { clusterGateway, type Lab } from '@vpn-gateway/lab'

/** Who stands where in the product's path, and so in this one. */
export interface Hops {
  client: string
  router: string
  gateway: string
}

/** Address of the Internet host that the client reaches by plain routes. */
export const plainTarget = '203.0.113.98'

const namespaces = { router: 'plain-router', gateway: 'plain-gateway' } as const
/** Free addresses of the clients' range, of the pod network, and inside the tunnel. */
const addresses = { router: '192.168.50.230', gateway: '192.168.50.231', pod: '10.42.0.230/16', tunnel: '10.9.0.3' }
const bridge = 'vpn-gateway'
const mtu = 1420

/** Makes the path; it goes with the lab. */
export async function layPlainPath(lab: Lab, { client, router, gateway }: Hops): Promise<void> {
  const provider = lab.topology.providers.find((each) => each.gateway === gateway)
  if (provider === undefined) throw new Error(`${gateway} has no provider`)
  const nodeOf = (name: string) => lab.topology.pods.find((pod) => pod.name === name)?.node ?? ''
  const clientAddress = lab.state.attached[client]?.['net1']?.address.split('/')[0]
  if (clientAddress === undefined) throw new Error(`${client} has no address on net1`)
  const sh = (host: string, script: string) => lab.exec(host, ['bash', '-ec', script])
  const places = [
    { name: namespaces.router, node: nodeOf(router), address: addresses.router },
    { name: namespaces.gateway, node: nodeOf(gateway), address: addresses.gateway },
  ]
  const host = createRunner()
  for (const { name, node, address } of places) {
    // One of a lab before, in the same machine.
    await host.run({ argv: ['ip', 'netns', 'del', name] }).catch(() => undefined)
    await host.run({ argv: ['ip', 'netns', 'add', name] })
    await sh(
      name,
      `sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.ip_forward=1
       sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0; ip link set lo up`,
    )
    await host.run({
      argv: [
        'ip',
        'link',
        'add',
        'net1',
        'mtu',
        String(mtu),
        'netns',
        name,
        'type',
        'veth',
        'peer',
        'name',
        name,
        'mtu',
        String(mtu),
        'netns',
        node,
      ],
    })
    await sh(node, `ip link set ${name} master ${bridge} up`)
    await sh(name, `ip address add ${address}/24 dev net1; ip link set net1 up`)
  }
  await host.run({
    argv: [
      'ip',
      'link',
      'add',
      'eth0',
      'netns',
      namespaces.gateway,
      'type',
      'veth',
      'peer',
      'name',
      namespaces.gateway,
      'netns',
      'cluster',
    ],
  })
  await sh('cluster', `ip link set ${namespaces.gateway} master br0 up`)
  const peer = (await lab.exec(provider.name, ['wg', 'show', 'wg0', 'public-key'])).trim()
  const key = await sh(
    namespaces.gateway,
    `ip address add ${addresses.pod} dev eth0; ip link set eth0 up; ip route add default via ${clusterGateway}
     key=$(wg genkey)
     ip link add wg0 mtu ${mtu} type wireguard
     wg set wg0 private-key <(echo "$key") peer ${peer} endpoint ${provider.endpoint}:51820 allowed-ips 0.0.0.0/0
     ip address add ${addresses.tunnel}/32 dev wg0; ip link set wg0 up
     ip rule add iif net1 table 100; ip route add default dev wg0 table 100
     ip route add ${clientAddress}/32 via ${addresses.router}
     iptables -t nat -A POSTROUTING -o wg0 -j MASQUERADE
     wg pubkey <<<"$key"`,
  )
  await sh(provider.name, `wg set wg0 peer ${key.trim()} allowed-ips ${addresses.tunnel}/32`)
  await sh(namespaces.router, `ip route add default via ${addresses.gateway}`)
  await sh('internet', `ip address add ${plainTarget}/32 dev eth0`)
  await sh(client, `ip route add ${plainTarget}/32 via ${addresses.router} dev net1`)
  await sh(client, `ping -c 3 -i 0.3 -W 10 ${plainTarget}`)
}
