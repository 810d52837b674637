/** What nodes do to the links: read from what the tools print, and named. */
import { expect, test } from 'vitest'
import { droppingChains, foreignAddresses, parseFeatures, rpfilterRules } from '../src/facts.ts'
import { findings, type NodeFacts } from '../src/finding.ts'
import { moduleProblems, modulesNeeded } from '../src/modules.ts'
import { systemWith, world } from './fixtures.ts'

const nothing: NodeFacts = {
  linkAddresses: [],
  managed: [],
  rpfilterRules: [],
  droppingChains: [],
  bridgeNetfilter: true,
  legacyTables: false,
}

test('a node that does nothing to them is not written of', () => {
  expect(findings(nothing, world())).toEqual([])
})

test.each([
  [
    'somebody manages the link',
    { managed: [{ link: 'vpn-gateway', by: 'NetworkManager' }] },
    /^NetworkManager manages vpn-gateway: .*unmanaged-devices/,
  ],
  ['somebody gave it an address', { linkAddresses: ['vpn-gateway 169.254.7.9/16'] }, /an address, vpn-gateway 169/],
  [
    'a strict reverse path',
    { reversePathFilter: 1, routeToPeer: { peer: '172.30.0.2', device: 'eth1' } },
    /^net\.ipv4\.conf\.eth0\.rp_filter is strict and 172\.30\.0\.2 is routed by eth1/,
  ],
  ['a rule for it', { rpfilterRules: ['mangle -A PREROUTING -m rpfilter --invert -j DROP'] }, /^iptables: mangle -A/],
  ['a firewall', { droppingChains: ['inet firewalld filter_FORWARD'] }, /inet firewalld filter_FORWARD drops/],
  ['another iptables', { legacyTables: true }, /iptables-legacy/],
  ['no offload', { offloads: { 'tx-udp_tnl-csum-segmentation': false } }, /^eth0 does not cut VXLAN/],
])('%s: named', (_name, facts, text) => {
  const found = findings({ ...nothing, ...facts }, world())
  expect(found.map((item) => item.text)).toEqual([expect.stringMatching(text)])
})

test('what drops on bridges drops nothing without br_netfilter', () => {
  const facts = { ...nothing, bridgeNetfilter: false, droppingChains: ['inet f c'], legacyTables: true }
  expect(findings(facts, world())).toEqual([])
})

test('a node that cannot leave frames untracked is named, where they meet iptables', () => {
  const tracked = world({ notrack: false })
  expect(findings(nothing, tracked)).toEqual([
    { finding: 'connection-tracking', text: expect.stringMatching(/^kernel module xt_CT: not seen on this node/) },
  ])
  expect(findings({ ...nothing, bridgeNetfilter: false }, tracked)).toEqual([])
})

test('a loose or right way back is none', () => {
  const to = (device: string) => ({ peer: '172.30.0.2', device })
  expect(findings({ ...nothing, reversePathFilter: 1, routeToPeer: to('eth0') }, world())).toEqual([])
  expect(findings({ ...nothing, reversePathFilter: 2, routeToPeer: to('eth1') }, world())).toEqual([])
})

test('a node that its peers do not know is named, by whichever of its addresses', () => {
  const peers = { addresses: ['172.30.0.2'] }
  expect(findings(nothing, world({ peers }))).toMatchObject([{ finding: 'peers' }])
  expect(
    findings(nothing, world({ peers: { addresses: ['10.0.0.1', '172.30.0.2'] }, ownAddresses: ['10.0.0.1'] })),
  ).toEqual([])
})

test('addresses on own links, without what the kernel gives them', () => {
  const text = JSON.stringify([
    { ifname: 'eth0', addr_info: [{ family: 'inet', local: '10.0.0.1', prefixlen: 24, scope: 'global' }] },
    {
      ifname: 'vpn-gateway',
      addr_info: [
        { family: 'inet', local: '169.254.7.9', prefixlen: 16, scope: 'link' },
        { family: 'inet6', local: 'fe80::1', prefixlen: 64, scope: 'link' },
      ],
    },
  ])
  expect(foreignAddresses(text, ['vpn-gateway'])).toEqual(['vpn-gateway 169.254.7.9/16'])
})

test('reverse-path rules outside of raw; dropping chains beside the one of iptables', () => {
  const saved =
    '*raw\n-A PREROUTING -m rpfilter --invert -j DROP\n*mangle\n-A PREROUTING -m rpfilter --invert -j DROP\n'
  expect(rpfilterRules(saved)).toEqual(['mangle -A PREROUTING -m rpfilter --invert -j DROP'])
  const chain = (family: string, table: string, name: string, hook: string, policy: string) => ({
    chain: { family, table, name, hook, policy },
  })
  const chains = [
    { metainfo: {} },
    chain('ip', 'filter', 'FORWARD', 'forward', 'drop'),
    chain('inet', 'firewalld', 'filter_FORWARD', 'forward', 'drop'),
    chain('inet', 'other', 'f', 'forward', 'accept'),
    chain('ip6', 'filter', 'FORWARD', 'forward', 'drop'),
  ]
  expect(droppingChains(JSON.stringify({ nftables: chains }))).toEqual(['inet firewalld filter_FORWARD'])
})

test('features as ethtool prints them', () => {
  const text =
    'Features for eth0:\nrx-checksumming: on [fixed]\n\ttx-udp_tnl-csum-segmentation: off\nrx-all: off [fixed]\n'
  expect(parseFeatures(text)).toEqual({
    'rx-checksumming': true,
    'tx-udp_tnl-csum-segmentation': false,
    'rx-all': false,
  })
})

test('modules: what is not there at all is wanting, what the kernel loads by itself only where something comes before', () => {
  const status = modulesNeeded(systemWith()).map((need) => ({ ...need, state: 'loadable' as const }))
  expect(status.map(({ module }) => module)).toContain('ip_vs_wlc')
  expect(moduleProblems(status)).toEqual([
    'kernel module ip_vs: not loaded, needed by router pods: net.ipv4.vs.* in the network attachment "router": expected modprobe ip_vs on the node, or node.loadModules: true',
    'kernel module nf_conntrack: not loaded, needed by router pods: net.netfilter.* in the network attachment "router": expected modprobe nf_conntrack on the node, or node.loadModules: true',
  ])
  const sticky = { clients: '192.168.50.1-192.168.50.9', by: 'client-and-destination' as const, seconds: 60 }
  const { router, ...rest } = systemWith()
  const schedulers = modulesNeeded({ ...rest, router: { ...router, stickiness: [sticky, sticky] } })
    .map(({ module }) => module)
    .filter((module) => module.startsWith('ip_vs_'))
  expect(schedulers).toEqual(['ip_vs_wlc', 'ip_vs_mh'])
  expect(moduleProblems([{ module: 'wireguard', neededBy: 'gateway pods', state: 'missing' }])).toEqual([
    'kernel module wireguard: not on this node, needed by gateway pods: expected a kernel that has it',
  ])
  expect(moduleProblems([{ module: 'wireguard', neededBy: 'gateway pods', state: 'built-in' }])).toEqual([])
})
