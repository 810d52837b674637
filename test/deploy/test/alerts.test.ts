/** Every alert on series that must raise it and on series that must not, by promtool. */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { parse, stringify } from 'yaml'
import { tool } from '../src/tools.ts'

const published = fileURLToPath(new URL('../../../deploy/components/monitoring/rules.yaml', import.meta.url))

interface Rules {
  groups: { name: string; rules: { alert: string; expr: string }[] }[]
}

/** Series by name, in promtool's notation: values a minute apart. */
type Series = Record<string, string>

/** Series that raise the alert, once, within twenty minutes, and others that do too; series near to them that do not. */
const cases: Record<string, { raised: Series; also?: Series[]; quiet: Series[] }> = {
  NoExit: {
    // No gateway has started, or all have crashed.
    also: [{ 'up{pod="router-0"}': '1x22' }, { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '1 1 stale' }],
    raised: { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '1 1 0x20', 'vpn_gateway_tunnel_up{pod="gateway-1"}': '0x22' },
    quiet: [
      { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '1x22', 'vpn_gateway_tunnel_up{pod="gateway-1"}': '0x22' },
      { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '1 1 1 0 1x18' },
    ],
  },
  TunnelDown: {
    raised: { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '0x22', 'vpn_gateway_draining{pod="gateway-0"}': '0x22' },
    quiet: [
      // Going away on purpose.
      { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '0x22', 'vpn_gateway_draining{pod="gateway-0"}': '1x22' },
      { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '0x3 1x19', 'vpn_gateway_draining{pod="gateway-0"}': '0x22' },
    ],
  },
  LastExit: {
    raised: { 'vpn_gateway_tunnel_up{pod="gateway-0"}': '1x22', 'vpn_gateway_tunnel_up{pod="gateway-1"}': '0x22' },
    // The simple alternative has one by design.
    quiet: [{ 'vpn_gateway_tunnel_up{pod="gateway-0"}': '1x22' }],
  },
  SameExit: {
    raised: {
      'vpn_gateway_exit_info{pod="gateway-0",address="203.0.113.1"}': '1x22',
      'vpn_gateway_exit_info{pod="gateway-1",address="203.0.113.1"}': '1x22',
    },
    quiet: [
      {
        'vpn_gateway_exit_info{pod="gateway-0",address="203.0.113.1"}': '1x22',
        'vpn_gateway_exit_info{pod="gateway-1",address="203.0.113.2"}': '1x22',
      },
    ],
  },
  FlowTableFull: {
    raised: {
      'nf_conntrack_entries{pod="router-0"}': '900x22',
      'nf_conntrack_entries_limit{pod="router-0"}': '1000x22',
    },
    quiet: [
      { 'nf_conntrack_entries{pod="router-0"}': '700x22', 'nf_conntrack_entries_limit{pod="router-0"}': '1000x22' },
    ],
  },
  NoActiveRouter: {
    also: [{ 'up{pod="router-0",component="router-agent"}': '0x22' }],
    raised: { 'vpn_gateway_vip_held{pod="router-0"}': '0x22', 'vpn_gateway_vip_held{pod="router-1"}': '0x22' },
    quiet: [
      { 'vpn_gateway_vip_held{pod="router-0"}': '1x10 0x11', 'vpn_gateway_vip_held{pod="router-1"}': '0x10 1x11' },
      // Just one of two does not answer; the simple alternative has none.
      { 'vpn_gateway_vip_held{pod="router-1"}': '1x22', 'up{pod="router-0",component="router-agent"}': '0x22' },
      { 'up{pod="gateway-0",component="gateway-agent"}': '1x22' },
    ],
  },
  TwoActiveRouters: {
    raised: { 'vpn_gateway_vip_held{pod="router-0"}': '1x22', 'vpn_gateway_vip_held{pod="router-1"}': '1x22' },
    quiet: [{ 'vpn_gateway_vip_held{pod="router-0"}': '1x22', 'vpn_gateway_vip_held{pod="router-1"}': '0x22' }],
  },
  RouterAlone: {
    raised: { 'keepalived_vrrp_state{pod="router-0"}': '2x22', 'keepalived_vrrp_state{pod="router-1"}': '3x22' },
    quiet: [{ 'keepalived_vrrp_state{pod="router-0"}': '2x22', 'keepalived_vrrp_state{pod="router-1"}': '1x22' }],
  },
  RouterFlaps: {
    raised: { 'vpn_gateway_vrrp_transitions_total{pod="router-0",to="MASTER",cause="priority"}': '0+1x22' },
    quiet: [
      { 'vpn_gateway_vrrp_transitions_total{pod="router-0",to="MASTER",cause="priority"}': '0 0 0 1x19' },
      { 'vpn_gateway_vrrp_transitions_total{pod="router-0",to="BACKUP",cause="priority"}': '0+1x22' },
    ],
  },
  DaemonDown: {
    raised: { 'vpn_gateway_daemon_up{pod="router-0",daemon="keepalived"}': '0x22' },
    quiet: [{ 'vpn_gateway_daemon_up{pod="router-0",daemon="keepalived"}': '1x22' }],
  },
  SyncLosses: {
    raised: { 'conntrackd_sync_bad_messages_total{pod="router-0",fault="lost"}': '0+600x22' },
    quiet: [{ 'conntrackd_sync_bad_messages_total{pod="router-0",fault="lost"}': '0+6x22' }],
  },
  LinkDown: {
    raised: { 'vpn_gateway_node_link_up{node="node-1",network="gateway",link="vpn-gateway"}': '0x22' },
    quiet: [{ 'vpn_gateway_node_link_up{node="node-1",network="gateway",link="vpn-gateway"}': '1x22' }],
  },
  MtuTooLarge: {
    raised: {
      'vpn_gateway_node_network_mtu_bytes{node="node-1",network="gateway"}': '1420x22',
      'vpn_gateway_node_network_best_mtu_bytes{node="node-1",network="gateway"}': '1400x22',
    },
    quiet: [
      {
        'vpn_gateway_node_network_mtu_bytes{node="node-1",network="gateway"}': '1420x22',
        'vpn_gateway_node_network_best_mtu_bytes{node="node-1",network="gateway"}': '1420x22',
      },
    ],
  },
  ModuleMissing: {
    raised: { 'vpn_gateway_node_kernel_module_missing{node="node-1",module="ip_vs",needed_by="router pods"}': '1x22' },
    quiet: [{ 'vpn_gateway_node_kernel_module_missing{node="node-1",module="ip_vs",needed_by="router pods"}': '0x22' }],
  },
  PeersUnknown: {
    raised: { 'vpn_gateway_node_peer_source_up{node="node-1",source="dns"}': '0x22' },
    quiet: [{ 'vpn_gateway_node_peer_source_up{node="node-1",source="dns"}': '0x8 1x13' }],
  },
  NodeFindings: {
    raised: { 'vpn_gateway_node_findings{node="node-1",finding="link-manager"}': '1x22' },
    quiet: [
      { 'vpn_gateway_node_findings{node="node-1",finding="link-manager"}': '0x22' },
      { 'vpn_gateway_node_findings{node="node-1",finding="checksum-offload"}': '1x22' },
    ],
  },
  AgentAbsent: {
    raised: { 'up{pod="router-0",component="router-agent"}': '0x22' },
    quiet: [
      { 'up{pod="router-0",component="router-agent"}': '1x22' },
      { 'up{pod="other-0",component="other"}': '0x22' },
    ],
  },
  NotConverged: {
    raised: { 'reconcile_converged{pod="node-agent-x"}': '0x22' },
    quiet: [{ 'reconcile_converged{pod="node-agent-x"}': '0x3 1x18' }],
  },
  Fought: {
    raised: { 'reconcile_drift_repaired_total{pod="gateway-0",object="route"}': '0+1x22' },
    quiet: [{ 'reconcile_drift_repaired_total{pod="gateway-0",object="route"}': '0 1x21' }],
  },
}

let promtool = ''
let directory = ''
let rules: Rules

// Each starts promtool several times.
vi.setConfig({ testTimeout: 60_000 })

beforeAll(async () => {
  promtool = await tool('promtool')
  directory = await mkdtemp(join(tmpdir(), 'alerts-'))
  rules = (parse(await readFile(published, 'utf8')) as { spec: Rules }).spec
  await writeFile(join(directory, 'rules.yaml'), stringify(rules))
}, 300_000)

afterAll(() => rm(directory, { recursive: true, force: true }))

const checked = (...args: string[]) => execa(promtool, args, { cwd: directory, reject: false, all: true })

test('promtool takes the rules', async () => {
  const { all, exitCode } = await checked('check', 'rules', 'rules.yaml')
  expect([all, exitCode]).toEqual([expect.stringContaining('SUCCESS'), 0])
})

test('every rule has a case', () => {
  const names = rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert))
  expect(names.sort()).toEqual(
    Object.keys(cases)
      .map((name) => `VpnGateway${name}`)
      .sort(),
  )
})

/** Which alerts are raised at twenty minutes, as promtool says it; each case is asked for one alert only. */
async function raised(alert: string, series: Series): Promise<{ passes: boolean; said: string }> {
  const file = join(directory, `${alert}.yaml`)
  // Asked to find none: where one is raised, promtool fails and shows it.
  const ask = {
    rule_files: ['rules.yaml'],
    tests: [
      {
        interval: '1m',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: [{ eval_time: '20m', alertname: `VpnGateway${alert}`, exp_alerts: [] }],
      },
    ],
  }
  await writeFile(file, stringify(ask))
  const { exitCode, all } = await checked('test', 'rules', file)
  return { passes: exitCode === 0, said: all }
}

test.each(Object.entries(cases))('%s', async (name, { raised: first, also = [], quiet }) => {
  for (const series of [first, ...also]) {
    const answer = await raised(name, series)
    expect(answer.passes).toBe(false)
    expect(answer.said.match(new RegExp(`got:\\s*\\[[\\s\\S]*alertname="VpnGateway${name}"`))).not.toBeNull()
    // What the words refer to is there.
    expect(answer.said).not.toMatch(/<no value>|<error/)
  }
  for (const silent of quiet) expect(await raised(name, silent)).toMatchObject({ passes: true })
})

test('the dashboard asks for series that exist', async () => {
  const text = await readFile(published.replace('rules.yaml', 'dashboard.yaml'), 'utf8')
  const { data } = parse(text) as { data: Record<string, string> }
  const board = JSON.parse(data['vpn-gateway.json'] ?? '') as { panels: { targets: { expr: string }[] }[] }
  const queries = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  expect(queries.length).toBeGreaterThan(15)
  const queryRules = {
    groups: [{ name: 'dashboard', rules: queries.map((expr, index) => ({ record: `q${index}`, expr })) }],
  }
  await writeFile(join(directory, 'dashboard.yaml'), stringify(queryRules))
  expect((await checked('check', 'rules', 'dashboard.yaml')).exitCode).toBe(0)
  // Every name is one that an agent registers, so that a metric that is renamed is missed here.
  const expressions = [...queries, ...rules.groups.flatMap((group) => group.rules.map(({ expr }) => expr))]
  const used = expressions.flatMap(
    (expr) => expr.replaceAll(/"[^"]*"|\{[^}]*\}/g, '').match(/\b[a-z]+(?:_[a-z]+)+\b/g) ?? [],
  )
  const source = await metricSource()
  const unknown = [...new Set(used)].filter((name) => !keywords.has(name) && !isRegistered(name, source))
  expect(unknown).toEqual([])
})

const keywords = new Set(['remote_address'])

async function metricSource(): Promise<string> {
  const directories = ['gateway-agent', 'router-agent', 'node-agent', 'reconcile'].map((name) =>
    fileURLToPath(new URL(`../../../packages/${name}/src/`, import.meta.url)),
  )
  const files = await Promise.all(
    directories.map(async (path) =>
      (await readdir(path)).filter((file) => file.includes('metric')).map((file) => path + file),
    ),
  )
  return (await Promise.all(files.flat().map((file) => readFile(file, 'utf8')))).join('\n')
}

/** Some names are put together: what varies is `${…}` in the source, or stands alone before a prefix is added. */
function isRegistered(name: string, source: string): boolean {
  const literal = [...source.matchAll(/['`]([a-z_${}]+)['`]/g)].map((match) => match[1] ?? '')
  return literal.some((text) => {
    const pattern = text.replaceAll(/\$\{[a-z]+\}/g, '[a-z_]+')
    // A name of variables alone would be like every name.
    if (!/[a-z]{3}/.test(text.replaceAll(/\$\{[a-z]+\}/g, ''))) return false
    return new RegExp(`^(vpn_gateway_node_)?${pattern}$`).test(name) && pattern !== 'vpn_gateway_node_[a-z_]+'
  })
}
