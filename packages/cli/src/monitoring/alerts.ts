/** What somebody should be told of, and when: long enough that a restart or an update is none of it. */

interface Alert {
  alert: string
  expr: string
  for: string
  labels: { severity: 'critical' | 'warning' | 'info' }
  annotations: { summary: string; description: string }
}

export interface AlertGroup {
  name: string
  rules: Alert[]
}

type Words = [summary: string, description: string]

function alert(name: string, severity: Alert['labels']['severity'], wait: string, expr: string, words: Words): Alert {
  const [summary, description] = words
  return { alert: `VpnGateway${name}`, expr, for: wait, labels: { severity }, annotations: { summary, description } }
}

/** All rules; each has its case in deploy/components/monitoring. */
export function alertGroups(): AlertGroup[] {
  return [
    { name: 'vpn-gateway-traffic', rules: traffic() },
    { name: 'vpn-gateway-routers', rules: routers() },
    { name: 'vpn-gateway-nodes', rules: nodes() },
    { name: 'vpn-gateway-agents', rules: agents() },
  ]
}

function traffic(): Alert[] {
  return [
    // A sum of nothing is nothing: gateways that are not there at all have to count as none.
    alert('NoExit', 'critical', '1m', '(sum(vpn_gateway_tunnel_up) or vector(0)) == 0', [
      'No tunnel carries traffic: clients have no internet.',
      'No gateway has answers through its tunnel, or none is there. Look at the pods, and at /v1/tunnel of one: probeFailures say how.',
    ]),
    alert('TunnelDown', 'warning', '5m', 'vpn_gateway_tunnel_up == 0 and vpn_gateway_draining == 0', [
      'The tunnel of {{ $labels.pod }} carries no traffic.',
      'The others carry its flows. Its handshake and probeFailures are in /v1/tunnel; the provider may have moved or ended it.',
    ]),
    alert('LastExit', 'warning', '5m', 'count(vpn_gateway_tunnel_up) > 1 and sum(vpn_gateway_tunnel_up) == 1', [
      'Only one tunnel is left.',
      'When it goes, clients have no internet.',
    ]),
    alert('SameExit', 'info', '15m', 'count by (address) (vpn_gateway_exit_info) > 1', [
      'Several gateways leave with {{ $labels.address }}.',
      'They share what happens to that address; another endpoint of the provider would not.',
    ]),
    alert('FlowTableFull', 'warning', '5m', 'nf_conntrack_entries / nf_conntrack_entries_limit > 0.8', [
      'The flow table of {{ $labels.pod }} is {{ $value | humanizePercentage }} full.',
      'A full one refuses new flows. net.netfilter.nf_conntrack_max of the node is the limit.',
    ]),
  ]
}

function routers(): Alert[] {
  return [
    alert(
      'NoActiveRouter',
      'critical',
      '30s',
      // Routers that do not answer have no figures; a system without routers has no targets either.
      '(sum(vpn_gateway_vip_held) or 0 * sum(up{component="router-agent"})) == 0',
      [
        'No router has the virtual IP: clients have no internet.',
        'Look at the routers: /readyz names what keeps each from being the active one.',
      ],
    ),
    alert('TwoActiveRouters', 'critical', '30s', 'sum(vpn_gateway_vip_held) > 1', [
      'More than one router has the virtual IP.',
      'They do not hear each other on the router network: look at the node links and at what lies between the nodes.',
    ]),
    alert('RouterAlone', 'warning', '5m', 'count(keepalived_vrrp_state == 1 or keepalived_vrrp_state == 2) == 1', [
      'One router has no other to take over.',
      'When it goes, clients have no internet until another is ready.',
    ]),
    alert('RouterFlaps', 'warning', '0s', 'increase(vpn_gateway_vrrp_transitions_total{to="MASTER"}[15m]) > 3', [
      '{{ $labels.pod }} became active again and again.',
      'The cause label says why. Each time, clients look for the virtual IP anew.',
    ]),
    alert('DaemonDown', 'warning', '1m', 'vpn_gateway_daemon_up == 0', [
      '{{ $labels.daemon }} does not run in {{ $labels.pod }}.',
      'Its last words are in the log of the pod.',
    ]),
    alert('SyncLosses', 'warning', '5m', 'rate(conntrackd_sync_bad_messages_total[5m]) > 1', [
      'Messages between the routers get {{ $labels.fault }}.',
      'After a takeover, flows that the other router has not heard of stall until they are begun again.',
    ]),
  ]
}

function nodes(): Alert[] {
  return [
    alert('LinkDown', 'critical', '2m', 'vpn_gateway_node_link_up == 0', [
      "{{ $labels.link }} on {{ $labels.node }} is not up, or is not the agent's.",
      'Pods there are cut off from the {{ $labels.network }} network. /v1/networks of the node agent says more.',
    ]),
    alert(
      'MtuTooLarge',
      'warning',
      '5m',
      'vpn_gateway_node_network_mtu_bytes > vpn_gateway_node_network_best_mtu_bytes',
      [
        'The MTU of the {{ $labels.network }} network is more than {{ $labels.node }} can carry.',
        'Full packets are lost between nodes. The largest that fits is vpn_gateway_node_network_best_mtu_bytes.',
      ],
    ),
    alert('ModuleMissing', 'warning', '5m', 'vpn_gateway_node_kernel_module_missing == 1', [
      '{{ $labels.node }} lacks the kernel module {{ $labels.module }} for {{ $labels.needed_by }}.',
      'Load it with modprobe and name it in /etc/modules-load.d, or set node.loadModules.',
    ]),
    alert('PeersUnknown', 'warning', '10m', 'vpn_gateway_node_peer_source_up == 0', [
      '{{ $labels.node }} cannot ask for the other nodes ({{ $labels.source }}).',
      'It goes on with those it knows; a node that joins is not sent to.',
    ]),
    alert('NodeFindings', 'info', '15m', 'vpn_gateway_node_findings{finding!="checksum-offload"} > 0', [
      'Something on {{ $labels.node }} gets in the way of the networks ({{ $labels.finding }}).',
      '/v1/findings of the node agent says what, and what to do about it.',
    ]),
  ]
}

function agents(): Alert[] {
  return [
    alert('AgentAbsent', 'warning', '5m', 'up{component=~"(gateway|router|node)-agent"} == 0', [
      'The {{ $labels.component }} {{ $labels.pod }} does not answer.',
      'What it has set up goes on without it; nothing is put right meanwhile.',
    ]),
    alert('NotConverged', 'warning', '5m', 'reconcile_converged == 0', [
      '{{ $labels.pod }} cannot bring the kernel to what it should hold.',
      'reconcile.errors in /v1/status names what is left.',
    ]),
    alert('Fought', 'warning', '0s', 'sum without (object) (increase(reconcile_drift_repaired_total[15m])) > 5', [
      'Somebody undoes what {{ $labels.pod }} sets up.',
      'Another program changes the same links or rules; the log of the pod names the steps.',
    ]),
  ]
}
