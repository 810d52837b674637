/** keepalived's console output: what matters, how much, and why VRRP changed its mind. */
import type { LogLine } from '@vpn-gateway/runtime'
import type { VrrpCause } from './vrrp.ts'

/** `Mon Nov 23 00:04:20 2026: ` with -l. */
const stamp = /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}: /

const levels: readonly [RegExp, LogLine['level']][] = [
  [/^(?:Sending|.*Sending\/queueing) gratuitous ARP/, 'debug'],
  [
    /^(?:Opening file|Command line|Registering|Assigned address|VRRP sockpool|Activating|Running on|Configuration file)/,
    'debug',
  ],
  [/^ {2,}/, 'debug'],
  // It is started anew with -I: what it adds is there.
  [/^IPVS cmd .* already exists/, 'debug'],
  // It is real-time already, by the configuration.
  [/setting config option max_auto_priority/, 'debug'],
  [/cannot|can'?t|unable|fail|invalid|unknown keyword|error|errno/i, 'warn'],
  [
    /^(?:Removing service|Lost quorum)|FAULT|Netlink reports|exited|died|lower priority|higher priority|advertisement timeout/,
    'warn',
  ],
]

/** A line of `keepalived -n -l -D` with its level; its own time stamp is left out, the log has one. */
export function parseKeepalivedLine(line: string): LogLine | undefined {
  const message = line.replace(stamp, '')
  if (message.trim() === '') return undefined
  const level = levels.find(([pattern]) => pattern.test(message))?.[1] ?? 'info'
  return { level, message: message.trim() }
}

const causes: readonly [RegExp, VrrpCause][] = [
  [/Receive advertisement timeout/, 'peer-silent'],
  [/received priority 0 adver/i, 'peer-left'],
  [/received advert .* with higher priority/, 'peer-preferred'],
  [
    /Netlink reports .* (?:down|up)|transition to FAULT|Entering FAULT|tracked interface|interface .* (?:down|up)/i,
    'link',
  ],
]

/** Why VRRP is about to change its state, as far as a line says it. */
export function causeInKeepalivedLine(line: string): VrrpCause | undefined {
  return causes.find(([pattern]) => pattern.test(line))?.[1]
}

/**
 * Whether its VRRP process says that it may not open the socket of an instance. It goes on without, hears and sends nothing, and
 * looks like a standby.
 */
export function isWithoutRawSocket(line: string): boolean {
  // EPERM of errno(3): of others it gets over.
  return /can'?t open raw socket\W+errno=1\b/i.test(line)
}
