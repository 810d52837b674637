/**
 * What the chain of MTUs is worth on this pod. The system file's own chain is checked when it is read; a provider's file
 * may name another MTU, and only the pod knows that of its primary interface. Either works: TCP is clamped, larger packets
 * are answered by ICMP or leave in fragments. It costs speed, and is said.
 */

/** Bytes around an encrypted packet: IPv4 or IPv6 header, UDP, WireGuard's own 32. */
const overhead = { 4: 60, 6: 80 } as const

/** One line for each place where full packets do not fit. Pure; bytes. */
export function mtuNotices({
  tunnel,
  network,
  primary,
  family,
}: {
  tunnel: number
  /** Of the clients' interfaces, `gatewayNetwork.mtu`. */
  network: number
  primary: { name: string; mtu: number }
  /** Of the endpoints' addresses. */
  family: 4 | 6
}): string[] {
  const notices: string[] = []
  if (tunnel < network) {
    notices.push(
      `tunnel: MTU ${tunnel} is less than gatewayNetwork.mtu ${network}: clients' full packets do not fit; ${tunnel} there would be best`,
    )
  }
  const most = primary.mtu - overhead[family]
  if (tunnel > most) {
    notices.push(
      `tunnel: MTU ${tunnel} is more than ${primary.name}'s ${primary.mtu} less ${overhead[family]} bytes of WireGuard: full packets leave in fragments; ${most} would be best`,
    )
  }
  return notices
}
