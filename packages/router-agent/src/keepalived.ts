/**
 * The configuration of keepalived(8): VRRP between the routers, health of the gateways, and with it the virtual service.
 * The file is for people too: each line that somebody may wonder about says why it is there.
 */
import { healthAddress } from '@vpn-gateway/config'
import { flowServices, schedulerOf, type FlowService } from './flow-services.ts'
import { syncMessageBytes, weightOf, type Router } from './router.ts'

/** Name of the one VRRP instance, as FIFO lines and metrics show it. */
export const vrrpInstance = 'egress'

/** Renders keepalived.conf(5), for keepalived 2.2. */
export function renderKeepalived(router: Router): string {
  return `${[
    `# Rendered by router-agent for ${router.name}; it is replaced whenever the system file changes.`,
    globals(router),
    worthFile(router),
    ...router.plan.gatewayAddresses.map((gateway) => trackFile(router, gateway)),
    instance(router),
    ...flowServices(router).map((service) => virtualServer(router, service)),
  ].join('\n\n')}\n`
}

function globals({ name, system, syncLink, paths }: Router): string {
  return `global_defs {
    router_id ${name}
    # Nothing here runs a script: events leave through FIFOs, wishes come in through files.
    script_user root
    enable_script_security
    vrrp_notify_fifo ${paths.keepalived.vrrpFifo}
    lvs_notify_fifo ${paths.keepalived.lvsFifo}
    fifo_write_vrrp_states_on_reload
    vrrp_version 3
    # The kernel's own sync of the IPVS table, sender and receiver both, for good. Bound to a VRRP instance, keepalived
    # would stop and start them at each change of state, and may wait for the kernel's answer for ever. A message leaves
    # when it is full, or after two seconds: a short one (some five flows) keeps the other router up to date.
    lvs_sync_daemon ${syncLink} id ${system.router.virtualRouterId} maxlen ${syncMessageBytes}
    # A TCP flow in which nobody speaks is known for 2 h 4 min, as RFC 5382 wants it; IPVS' own default is 15 minutes.
    lvs_timeouts tcp 7440
}`
}

function worthFile({ paths }: Router): string {
  return `track_file ${worthName} {
    file ${paths.keepalived.worthFile}
    weight 1
}`
}

const worthName = 'worth'

/** FILE_CHECK finds only files that were named before its virtual server. */
function trackFile({ paths }: Router, gateway: string): string {
  return `track_file ${trackName(gateway)} {
    file ${paths.keepalived.trackFile(gateway)}
    weight 1
}`
}

function trackName(gateway: string): string {
  return `weight-${gateway}`
}

/**
 * VRRP priority by place in the range: the lowest address has the highest. It decides only between two that are both
 * master; a backup never preempts. Worth is added, and the sum stays below 255, the address owner's (RFC 5798).
 */
export function priorityOf({ plan, address }: Pick<Router, 'plan' | 'address'>): number {
  return 247 - plan.routerAddresses.indexOf(address)
}

/** Adverts that a backup waits for: as many as half a second holds, for a lost one is no dead router, and at least three. */
function advertsMissed(interval: number): number {
  return Math.min(100, Math.max(3, Math.round(0.5 / interval)))
}

function instance(router: Router): string {
  const { system, plan, link, syncLink } = router
  return `vrrp_instance ${vrrpInstance} {
    # BACKUP and nopreempt: who returns has only the state that it was sent since, so it waits.
    state BACKUP
    nopreempt
    interface ${syncLink}
    virtual_router_id ${system.router.virtualRouterId}
    # The lowest address of the routers has the highest. It only settles who stays when two are master.
    priority ${priorityOf(router)}
    # So many adverts missed and a router takes over: half a second, if that is three of them. A client's TCP has then
    # repeated itself once (200 ms) and is heard at its second try (600 ms); the third would come at 1.4 s.
    advert_int ${system.router.advertInterval}
    down_timer_adverts ${advertsMissed(system.router.advertInterval)}
    # A router that cannot reach the gateway network must not hold the virtual address.
    track_interface {
        ${link}
    }
    # What the agent adds to the priority: between two that are both master the one that was a standby stays, one that
    # sees no gateway goes.
    track_file {
        ${worthName}
    }
    # Gratuitous ARP at once and again every second, for who missed it and for who believed another router meanwhile.
    garp_master_repeat 3
    garp_master_delay 1
    garp_master_refresh 1
    garp_lower_prio_repeat 3
    garp_lower_prio_delay 1
    virtual_ipaddress {
        ${plan.vip}/${plan.prefixLength} dev ${link}
    }
}`
}

/** Options that make source-hashing schedulers spread flows rather than clients, and step aside from a dead gateway. */
const schedulerFlags: Readonly<Record<string, readonly string[]>> = {
  mh: ['mh-port', 'mh-fallback'],
  sh: ['sh-port', 'sh-fallback'],
}

function virtualServer(router: Router, service: FlowService): string {
  const { name, marks, sticky } = service
  const { healthCheck } = router.system.router
  const scheduler = schedulerOf(router, service)
  const flags = (schedulerFlags[scheduler] ?? []).map((flag) => `\n    ${flag}`).join('')
  const [head, group] =
    marks.length === 1
      ? [`virtual_server fwmark ${marks[0]}`, '']
      : [`virtual_server group ${name}`, `${serviceGroup(name, marks)}\n\n`]
  return `${group}${sticky === undefined ? '' : `${describe(sticky)}\n`}${head} {
    lvs_sched ${scheduler}${flags}${sticky === undefined ? '' : persistence(sticky.seconds)}
    # Direct routing: the packet keeps its destination and goes to the gateway's MAC.
    lvs_method DR
    # A gateway's kernel answers while its tunnel carries traffic, whatever its agent is busy with. It is down until it
    # has answered; most addresses of the range may be nobody's.
    alpha
    delay_loop ${healthCheck.interval}
    # Two missed checks and a gateway has failed: it is taken out, and the kernel forgets its flows at once. Nothing here
    # may inhibit_on_failure, which would keep them on the dead gateway.
    connect_timeout ${healthCheck.timeout}
    retry 1
    delay_before_retry ${retryDelay(healthCheck.interval)}

${router.plan.gatewayAddresses.map((gateway) => realServer(router, gateway)).join('\n')}
}`
}

/** One set of checks for all marks: a group is one virtual server to keepalived and several services to IPVS. */
function serviceGroup(name: string, marks: readonly number[]): string {
  return `# One mark for each value of the destination's last four bits.
virtual_server_group ${name} {
${marks.map((mark) => `    fwmark ${mark}`).join('\n')}
}`
}

function describe({ clients, by }: NonNullable<FlowService['sticky']>): string {
  const what = by === 'client' ? 'one gateway for all flows of a client' : 'one gateway for a client and a destination'
  return `# Clients ${clients}: ${what}.`
}

function persistence(seconds: number): string {
  return `
    # IPVS remembers the gateway of a client so long after its last new flow.
    persistence_timeout ${seconds}
    persistence_granularity 255.255.255.255`
}

/** Seconds: soon, but long enough for a short stall to pass. */
function retryDelay(interval: number): number {
  return Math.min(interval / 4, 0.2)
}

function realServer(router: Router, gateway: string): string {
  return `    real_server ${gateway} 0 {
        weight ${weightOf(router, gateway)}
        FILE_CHECK {
            track_file ${trackName(gateway)}
            weight 1
        }
        PING_CHECK {
            # It has this address only while its tunnel carries traffic.
            connect_ip ${healthAddress(gateway)}
        }
    }`
}
