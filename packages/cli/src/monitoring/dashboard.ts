/** Grafana's dashboard: one row a question, the most urgent first. */

interface Target {
  expr: string
  legendFormat: string
  refId: string
}

interface Panel {
  id: number
  title: string
  description: string
  type: 'stat' | 'timeseries'
  gridPos: { x: number; y: number; w: number; h: number }
  datasource: { type: 'prometheus'; uid: string }
  targets: Target[]
  fieldConfig: { defaults: { unit: string; min: number }; overrides: [] }
}

interface Dashboard {
  uid: string
  title: string
  tags: string[]
  schemaVersion: number
  editable: boolean
  refresh: string
  time: { from: string; to: string }
  templating: { list: { name: string; type: 'datasource'; query: 'prometheus' }[] }
  panels: Panel[]
}

type Question = [title: string, description: string, unit: string, ...queries: [expr: string, legend: string][]]

const stats: Question[] = [
  [
    'Exits',
    'Tunnels that carry traffic.',
    'short',
    ['sum(vpn_gateway_tunnel_up)', 'up'],
    ['count(vpn_gateway_tunnel_up)', 'all'],
  ],
  ['Active routers', 'Routers that hold the virtual IP: one.', 'short', ['sum(vpn_gateway_vip_held)', 'with the VIP']],
  ['Flows', 'Flows in an established state.', 'short', ['sum(ipvs_backend_connections_active)', 'active']],
  [
    'Node links',
    'Bridges and VXLAN links that are not up.',
    'short',
    ['count(vpn_gateway_node_link_up == 0) or vector(0)', 'down'],
  ],
]

const series: Question[] = [
  ['Tunnels', '1 while answers come through.', 'short', ['vpn_gateway_tunnel_up', '{{pod}}']],
  [
    'Handshake age',
    'Since the latest handshake with the provider.',
    's',
    ['time() - (wireguard_latest_handshake_seconds > 0)', '{{pod}}'],
  ],
  ['To the internet', 'Bytes into the tunnels.', 'Bps', ['rate(wireguard_sent_bytes_total[5m])', '{{pod}}']],
  ['From the internet', 'Bytes out of the tunnels.', 'Bps', ['rate(wireguard_received_bytes_total[5m])', '{{pod}}']],
  [
    'Flows by gateway',
    'As the active router has them.',
    'short',
    ['sum by (remote_address) (ipvs_backend_connections_active)', '{{remote_address}}'],
  ],
  ['New flows', 'Begun a second.', 'short', ['rate(ipvs_connections_total[5m])', '{{pod}}']],
  ['VRRP', '1 backup, 2 master, 3 fault.', 'short', ['keepalived_vrrp_state', '{{pod}}']],
  ['Flow tables', 'How full.', 'percentunit', ['nf_conntrack_entries / nf_conntrack_entries_limit', '{{pod}}']],
  [
    'Between the routers',
    'Bytes of conntrackd.',
    'Bps',
    ['rate(conntrackd_sync_bytes_total[5m])', '{{pod}} {{direction}}'],
  ],
  [
    'Forwarded ports',
    'Packets from the internet to services.',
    'pps',
    ['rate(vpn_gateway_forward_packets_total[5m])', '{{pod}} {{name}}'],
  ],
  [
    'Peers',
    'Nodes that floods go to, and nodes that were heard.',
    'short',
    ['vpn_gateway_node_network_peers', '{{node}} {{network}} sent to'],
    ['vpn_gateway_node_network_peers_heard', '{{node}} {{network}} heard'],
  ],
  [
    'Repairs',
    'Changes of somebody else that were undone.',
    'short',
    ['sum by (pod, object) (increase(reconcile_drift_repaired_total[5m]))', '{{pod}} {{object}}'],
  ],
]

/** Of 24 columns: four stats in a row, then two series in a row. */
export function dashboard(): Dashboard {
  const panels = [
    ...stats.map((question, index) => panel(question, 'stat', index, { x: (index % 4) * 6, y: 0, w: 6, h: 4 })),
    ...series.map((question, index) =>
      panel(question, 'timeseries', stats.length + index, {
        x: (index % 2) * 12,
        y: 4 + Math.floor(index / 2) * 8,
        w: 12,
        h: 8,
      }),
    ),
  ]
  return {
    uid: 'vpn-gateway',
    title: 'VPN gateway',
    tags: ['vpn-gateway'],
    schemaVersion: 39,
    editable: false,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus' }] },
    panels,
  }
}

function panel(question: Question, type: Panel['type'], index: number, gridPos: Panel['gridPos']): Panel {
  const [title, description, unit, ...queries] = question
  return {
    id: index + 1,
    title,
    description,
    type,
    gridPos,
    datasource: { type: 'prometheus', uid: '${datasource}' },
    targets: queries.map(([expr, legendFormat], at) => ({ expr, legendFormat, refId: String.fromCodePoint(65 + at) })),
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
  }
}
