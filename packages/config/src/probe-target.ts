import { address4 } from './address.ts'

/** What a gateway asks through its tunnel; addresses are IPv4, so that no name server has a say in a tunnel's health. */
export type ProbeTarget =
  | { kind: 'tcp'; address: string; port: number }
  | { kind: 'icmp'; address: string }
  /** Answered by a status from 200 to 399. */
  | { kind: 'http'; url: string }

/** Parses `ADDRESS:PORT` (TCP), `icmp:ADDRESS` or `http://ADDRESS[:PORT][/PATH]`; undefined for anything else. */
export function parseProbeTarget(text: string): ProbeTarget | undefined {
  if (text.startsWith('http://')) return httpTarget(text)
  const [, icmp, address = '', digits] = /^(icmp:)?([\d.]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (!isAddress(address) || (icmp === undefined) === (digits === undefined)) return undefined
  if (icmp !== undefined) return { kind: 'icmp', address }
  const port = Number(digits)
  return port >= 1 && port <= 65535 ? { kind: 'tcp', address, port } : undefined
}

/** A URL's host is judged as it was written: `URL` makes addresses of numbers such as 1 or 0x7f.1. */
function httpTarget(url: string): ProbeTarget | undefined {
  const [, host = ''] = /^http:\/\/([\d.]+)(?::\d{1,5})?(?:[/?#]|$)/.exec(url) ?? []
  return isAddress(host) && URL.canParse(url) ? { kind: 'http', url } : undefined
}

function isAddress(text: string): boolean {
  return address4.safeParse(text).success
}
