/** Values of a wg-quick file, each in the form that wg(8) accepts. A value that is wrong is a `Problem`. */
import ipaddr from 'ipaddr.js'
import { isIPv4, isIPv6 } from 'node:net'

/** A peer's endpoint as the file names it; `host` is an address or a host name. */
export interface Endpoint {
  host: string
  port: number
}

/** What is wrong with one line; its message holds nothing of the line. */
export class Problem extends Error {}

/** The form that wg(8) accepts: 43 digits of which the last has two spare bits of zero, and the padding. */
const keyPattern = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/

/** A key: 32 bytes in base64, not all zeros. */
export function key(name: string, value: string): string {
  if (!keyPattern.test(value)) throw new Problem(`${name}: expected 32 bytes in base64 (44 characters)`)
  // The kernel takes a key of zeros for "no key".
  if (value === `${'A'.repeat(43)}=`) throw new Problem(`${name}: is all zeros`)
  return value
}

/** A whole number within bounds, both included. */
export function integer(name: string, value: string, least: number, most: number): number {
  const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= least && number <= most)) throw new Problem(`${name}: expected a number from ${least} to ${most}`)
  return number
}

/** The entries of a comma list, at least one and none empty. */
export function list(name: string, value: string): string[] {
  const items = value.split(',')
  if (items.includes('')) throw new Problem(`${name}: empty entry in the list`)
  return items
}

/** The words of a list that wg-quick(8) reads itself: commas and blanks separate alike, as many as there are. */
export function words(value: string): string[] {
  return value.split(/[\s,]+/).filter((word) => word !== '')
}

/** A CIDR as the kernel prints it, host bits cleared. */
export function allowedIp(item: string): string {
  const [address, prefix] = cidr('AllowedIPs', item)
  const range = address instanceof ipaddr.IPv4 ? ipaddr.IPv4 : ipaddr.IPv6
  return `${printed(range.networkAddressFromCIDR(`${address.toString()}/${prefix}`))}/${prefix}`
}

/** An address without its prefix length, as the kernel prints it, and its family. */
export function interfaceAddress(item: string): { family: 4 | 6; address: string } {
  const [address] = cidr('Address', item)
  return { family: address instanceof ipaddr.IPv4 ? 4 : 6, address: printed(address) }
}

/** Address and prefix length of an address with or without one. */
function cidr(name: string, item: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const [address = '', prefixText, ...rest] = item.split('/')
  const parsed = ipAddress(address)
  const longest = parsed?.kind() === 'ipv4' ? 32 : 128
  const prefix = prefixText === undefined ? longest : Number(/^\d{1,3}$/.test(prefixText) ? prefixText : Number.NaN)
  if (parsed === undefined || rest.length > 0 || !(prefix <= longest)) {
    throw new Problem(`${name}: expected IPv4 or IPv6 addresses, each with or without a prefix length`)
  }
  return [parsed, prefix]
}

/** In the forms of inet_pton(3), as wg(8) reads them: ipaddr.js also knows octal, hexadecimal and short ones. */
function ipAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (isIPv4(text)) return ipaddr.IPv4.parse(text)
  if (isIPv6(text) && !text.includes('%')) return ipaddr.IPv6.parse(withoutDottedEnd(text))
  return undefined
}

/** ipaddr.js takes `::192.0.2.1` for `::ffff:192.0.2.1`, which is another address. */
function withoutDottedEnd(text: string): string {
  const colon = text.lastIndexOf(':')
  const end = text.slice(colon + 1)
  if (!isIPv4(end)) return text
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(end).octets
  return `${text.slice(0, colon)}:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

/** As inet_ntop(3) prints it, with which the kernel's objects are compared: it ends embedded IPv4 addresses in dots. */
function printed(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  if (address instanceof ipaddr.IPv4) return address.toString()
  const zeros = address.parts.findIndex((part) => part !== 0)
  if (zeros !== 6 && !(zeros === 5 && address.parts[5] === 0xffff)) return address.toRFC5952String()
  return `${zeros === 6 ? '::' : '::ffff:'}${address.toByteArray().slice(12).join('.')}`
}

/** RFC 1123 labels; at least one that is not a number, so that a mistyped address is no host name. */
const hostName =
  /^(?=.{1,253}$)(?=.*[a-z])[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*\.?$/i

/** An address as the kernel prints it; undefined for what is none. */
export function kernelAddress(text: string): string | undefined {
  const parsed = ipAddress(text)
  return parsed === undefined ? undefined : printed(parsed)
}

/** A name server's address or a search domain. */
export function nameServer(item: string): string {
  const address = kernelAddress(item)
  if (address === undefined && !hostName.test(item)) throw new Problem('DNS: expected addresses or search domains')
  return address ?? item
}

/** `HOST:PORT` or `[IPV6]:PORT`. */
export function endpoint(value: string): Endpoint {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value)
  const [, bracketed, plain, portText] = match ?? []
  const port = Number(portText)
  if (match === null || port < 1 || port > 65535) {
    throw new Problem('Endpoint: expected HOST:PORT or [IPV6]:PORT with a port from 1 to 65535')
  }
  const parsed = ipAddress(bracketed ?? plain ?? '')
  if (bracketed !== undefined && parsed?.kind() !== 'ipv6')
    throw new Problem('Endpoint: expected an IPv6 address in brackets')
  if (parsed !== undefined) return { host: printed(parsed), port }
  if (plain === undefined || !hostName.test(plain)) throw new Problem('Endpoint: expected an address or a host name')
  return { host: plain, port }
}
