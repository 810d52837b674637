import { describe, expect, it } from 'vitest'
import { podLeakFilter, underlayLeakFilter } from '../src/capture/filter.ts'
import { namespacesOf } from '../src/topology/cables.ts'
import { generateWireguardKey, renderProviderNat } from '../src/topology/provider.ts'
import { topologyOf } from '../src/topology/topology.ts'

describe('topologyOf', () => {
  it('has the namespaces that the lab promises', () => {
    expect(namespacesOf(topologyOf('full'))).toEqual(
      expect.arrayContaining([
        'node-1',
        'node-2',
        'gateway-0',
        'gateway-1',
        'gateway-2',
        'router-0',
        'router-1',
        'client-0',
        'client-1',
        'provider-0',
        'provider-1',
        'provider-2',
        'internet',
        'cluster',
      ]),
    )
  })

  it('puts the pods of a kind on different nodes', () => {
    const nodes = topologyOf('full').pods.map(({ name, node }) => `${name} ${node}`)
    expect(nodes).toEqual(
      expect.arrayContaining([
        'router-0 node-1',
        'router-1 node-2',
        'client-0 node-1',
        'client-1 node-2',
        'gateway-1 node-2',
      ]),
    )
  })

  it('gives no two pods the same address or port', () => {
    const { pods } = topologyOf('full')
    expect(new Set(pods.map(({ clusterAddress }) => clusterAddress)).size).toBe(pods.length)
    expect(new Set(pods.map(({ clusterPort }) => clusterPort)).size).toBe(pods.length)
  })

  it('leaves the routers out of the simple alternative', () => {
    const { pods, providers } = topologyOf('single')
    expect(pods.filter(({ kind }) => kind === 'router')).toEqual([])
    expect(providers).toHaveLength(1)
  })
})

describe('provider', () => {
  it('makes keys of 32 bytes, each its own', () => {
    const [one, other] = [generateWireguardKey(), generateWireguardKey()]
    expect(Buffer.from(one, 'base64')).toHaveLength(32)
    expect(one).not.toBe(other)
  })

  it('forwards both protocols where both are asked for', () => {
    const [provider] = topologyOf('single').providers
    if (provider === undefined) throw new Error('no provider')
    const nat = renderProviderNat(provider, [
      { name: 'game', protocol: 'both', port: 4000, to: { address: '10.96.0.100' } },
    ])
    expect(nat).toContain('ip daddr 203.0.113.21 tcp dport 4000 dnat to 10.9.0.2')
    expect(nat).toContain('ip daddr 203.0.113.21 udp dport 4000 dnat to 10.9.0.2')
  })
})

describe('podLeakFilter', () => {
  it('lets no pod ask a name server', () => {
    const filter = podLeakFilter(topologyOf('full'), [1])
    expect(filter).not.toContain('port 53')
    expect(filter).toContain('dst host 198.51.100.21 or dst host 198.51.100.31 or dst host 198.51.100.22')
  })

  it('lets nothing pass that has another source than the pod, and WireGuard from gateways only', () => {
    const filter = podLeakFilter(topologyOf('single'), [])
    const [gateway, client] = ['(ifindex 101 and src host 10.42.0.10)', '(ifindex 102 and src host 10.42.0.11)']
    const cluster = ['10.42.0.10', '10.42.0.11', '10.42.0.12', '10.42.0.1', '10.96.0.100']
    expect(filter).toContain(
      `(${gateway} or ${client} or (ifindex 103 and src host 10.42.0.12)) and (${cluster.map((address) => `dst host ${address}`).join(' or ')}))`,
    )
    expect(filter).toContain(`((${gateway}) and ((udp and dst port 51820)`)
  })

  it('lets a pod speak to nobody of the intranet but the cluster’s own hosts', () => {
    const filter = podLeakFilter(topologyOf('full'), [])
    expect(filter).not.toContain('dst net 10.')
    expect(filter.match(/dst host 10\.[0-9.]+/g)).toEqual(
      [10, 11, 12, 13, 14, 15, 16, 1].map((host) => `dst host 10.42.0.${host}`).concat('dst host 10.96.0.100'),
    )
  })
})

describe('underlayLeakFilter', () => {
  it('lets VXLAN between nodes pass', () => {
    const vxlan =
      '(udp dst port 4789 and (src host 172.30.0.1 or src host 172.30.0.2) and (dst host 172.30.0.1 or dst host 172.30.0.2))'
    expect(underlayLeakFilter(topologyOf('full'), 4789, [2, 3])).toMatch(
      new RegExp(`^inbound and \\(ifindex 2 or ifindex 3\\) and not .*${vxlan.replaceAll(/[().]/g, '\\$&')}\\)$`),
    )
  })
})
