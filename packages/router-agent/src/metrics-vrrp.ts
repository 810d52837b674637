/** VRRP: under the names of keepalived-exporter what keepalived says of itself, under own ones what the agent saw. */
import type { Collector } from '@vpn-gateway/runtime'
import { Counter, type Registry } from 'prom-client'
import type { KeepalivedData } from './keepalived-data.ts'
import { vrrpInstance } from './keepalived.ts'
import { createFamily, type Family } from './metric-family.ts'
import type { Router } from './router.ts'
import type { Vrrp, VrrpState, VrrpTransition } from './vrrp.ts'

/** Numbers of keepalived's states in its SNMP MIB, which keepalived-exporter shows too. */
const stateNumbers: Readonly<Record<VrrpState, number>> = { BACKUP: 1, MASTER: 2, FAULT: 3, STOP: 0 }

/** keepalived-exporter's names for the counters of the dump. */
const counters: readonly (readonly [metric: string, stat: string, help: string])[] = [
  ['keepalived_advertisements_received_total', 'advert_rcvd', 'Advertisements received.'],
  ['keepalived_advertisements_sent_total', 'advert_sent', 'Advertisements sent.'],
  ['keepalived_become_master_total', 'become_master', 'Times that the instance became master.'],
  ['keepalived_release_master_total', 'release_master', 'Times that the instance ceased to be master.'],
  ['keepalived_packet_length_errors_total', 'packet_len_err', 'Advertisements of a wrong length.'],
  ['keepalived_advertisements_interval_errors_total', 'advert_interval_err', 'Advertisements of another interval.'],
  ['keepalived_ip_ttl_errors_total', 'ip_ttl_err', 'Advertisements with a TTL other than 255: from another network.'],
  ['keepalived_invalid_type_received_total', 'invalid_type_rcvd', 'VRRP packets of an unknown type.'],
  ['keepalived_address_list_errors_total', 'addr_list_err', 'Advertisements for other addresses.'],
  ['keepalived_priority_zero_received_total', 'pri_zero_rcvd', 'Goodbyes received.'],
  ['keepalived_priority_zero_sent_total', 'pri_zero_sent', 'Goodbyes sent.'],
]

export interface VrrpMetricsSources {
  router: Router
  vrrp: Pick<Vrrp, 'state' | 'holdsVip' | 'last'>
  /** keepalived's last dump; undefined when it does not answer. */
  keepalived: () => KeepalivedData | undefined
  now?: () => number
}

/** Tells the metrics of a change of state. */
export function registerVrrp(
  registry: Registry,
  collector: Collector,
  { router, vrrp, keepalived, now = Date.now }: VrrpMetricsSources,
): (transition: VrrpTransition) => void {
  const instance = {
    iname: vrrpInstance,
    intf: router.syncLink,
    vrid: String(router.system.router.virtualRouterId),
  }
  const withAddress = { ...instance, ip_address: router.plan.vip }
  const own = createFamily(registry, collector, 'vrrp', () => ({ state: vrrp.state(), last: vrrp.last() }))
  own.gauges(
    'keepalived_vrrp_state',
    'State of the VRRP instance: 0 init or stopped, 1 backup, 2 master, 3 fault.',
    Object.keys(withAddress),
    ({ state }) => (state === undefined ? [] : [[withAddress, stateNumbers[state]]]),
  )
  own.gauge('vpn_gateway_vip_held', '1 while this router has the VIP.', () => (vrrp.holdsVip() ? 1 : 0))
  own.gauge(
    'vpn_gateway_vrrp_last_transition_timestamp_seconds',
    'Unix time of the last change of the VRRP state; absent before the first.',
    ({ last }) => (last === undefined ? undefined : last.at / 1000),
  )
  own.gauge(
    'vpn_gateway_vrrp_since_transition_seconds',
    'Seconds since the last change of the VRRP state; absent before the first.',
    ({ last }) => (last === undefined ? undefined : (now() - last.at) / 1000),
  )
  registerDump(createFamily(registry, collector, 'keepalived', keepalived), instance)
  return countTransitions(registry)
}

function registerDump(dump: Family<KeepalivedData>, instance: Record<string, string>): void {
  const labelNames = Object.keys(instance)
  for (const [metric, stat, help] of counters) {
    dump.counters(metric, help, labelNames, ({ stats }) => {
      const value = stats[stat]
      return value === undefined ? [] : [[instance, value]]
    })
  }
  dump.gauges(
    'vpn_gateway_vrrp_priority',
    'VRRP priority as it is advertised, worth and fitness included.',
    labelNames,
    ({ effectivePriority }) => [[instance, effectivePriority]],
  )
}

function countTransitions(registry: Registry): (transition: VrrpTransition) => void {
  const registers = [registry]
  const transitions = new Counter({
    name: 'vpn_gateway_vrrp_transitions_total',
    help: 'Changes of the VRRP state, by the new state and the cause.',
    labelNames: ['to', 'cause'],
    registers,
  })
  const failovers = new Counter({
    name: 'vpn_gateway_failovers_total',
    help: 'Times that this router took over from another one, by the cause.',
    labelNames: ['cause'],
    registers,
  })
  return ({ from, to, cause }) => {
    transitions.inc({ to, cause })
    if (from === 'BACKUP' && to === 'MASTER') failovers.inc({ cause })
  }
}
