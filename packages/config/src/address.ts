/** IPv4 addresses, CIDRs and ranges as they stand in the system file; arithmetic is the libraries'. */
import { containsCidr, mergeCidr, parseCidr } from 'cidr-tools'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { z } from 'zod'

/** Longest range that is accepted, in addresses. */
const longestRange = 65_536

/** Dotted quad, as in `192.168.50.240`. */
export const address4 = z.string().refine(isAddress4, 'expected an IPv4 address')

/** IPv4 or IPv6 address in the kernel's writing: lower case, zeros shortened, so that one address has one text. */
export const anyAddress = z.string().superRefine((text, context) => {
  // Node knows forms that the library does not, among them those with a link's name at their end.
  if (isIP(text) === 0 || text.includes('%') || !ipaddr.isValid(text))
    context.addIssue({ code: 'custom', message: 'expected an IPv4 or IPv6 address' })
  else if (isIP(text) === 6 && ipaddr.IPv6.parse(text).toRFC5952String() !== text) {
    const expected = ipaddr.IPv6.parse(text).toRFC5952String()
    context.addIssue({ code: 'custom', message: `is not how the kernel writes it: expected ${expected}` })
  }
})

/** Network with its prefix length and no host bits, as in `192.168.50.0/24`. */
export const cidr4 = z.string().superRefine((text, context) => {
  const problem = cidrProblem(text)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

/** First and last address, as in `192.168.50.1-192.168.50.239`. */
export const range4 = z.string().superRefine((text, context) => {
  const problem = rangeProblem(text)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

/** Range as two addresses, both inclusive. */
export interface Range {
  first: string
  last: string
}

/** Takes a valid `range4` apart. */
export function parseRange(text: string): Range {
  const [first = '', last = ''] = text.split('-').map((part) => part.trim())
  return { first, last }
}

/** `FIRST-LAST` without blanks, as iptables' iprange match prints it; `text` is a valid `range4`. */
export function rangeText(text: string): string {
  const { first, last } = parseRange(text)
  return `${first}-${last}`
}

function isAddress4(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text)
}

function cidrProblem(text: string): string | undefined {
  const expected = 'expected an IPv4 network as ADDRESS/PREFIX'
  // One writing for one network: the kernel prints prefix lengths without leading zeros.
  const [, address = '', prefix = ''] = /^([\d.]+)\/(\d|[12]\d|3[0-2])$/.exec(text) ?? []
  if (!isAddress4(address)) return expected
  const network = ipaddr.IPv4.networkAddressFromCIDR(text).toString()
  return network === address ? undefined : `has host bits set: expected ${network}/${prefix}`
}

function rangeProblem(text: string): string | undefined {
  const { first, last } = parseRange(text)
  if (text.split('-').length !== 2 || !isAddress4(first) || !isAddress4(last)) {
    return 'expected a range as FIRST-LAST, two IPv4 addresses'
  }
  const size = rangeSize({ first, last })
  if (size < 1) return `ends before it begins: expected ${last}-${first}`
  return size > longestRange ? `has ${size} addresses: expected at most ${longestRange}` : undefined
}

function number(address: string): bigint {
  return parseCidr(`${address}/32`).start
}

function fromNumber(value: bigint): string {
  return new ipaddr.IPv4([24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 255n))).toString()
}

/** Every address of a range, in order. */
export function addressesOf(range: Range): string[] {
  return Array.from({ length: rangeSize(range) }, (_, index) => addressAfter(range.first, index))
}

/** How many addresses a range has; 0 or less where it ends before it begins. */
export function rangeSize(range: Range): number {
  return Number(number(range.last) - number(range.first)) + 1
}

/** The address that is `count` further on. */
export function addressAfter(address: string, count: number): string {
  return fromNumber(number(address) + BigInt(count))
}

/** Fewest CIDRs that cover exactly the range, in order. */
export function cidrsOf(range: Range): string[] {
  return mergeCidr(addressesOf(range).map((address) => `${address}/32`))
}

/** Whether two ranges have an address in common. */
export function rangesOverlap(a: Range, b: Range): boolean {
  return number(a.first) <= number(b.last) && number(b.first) <= number(a.last)
}

/** Whether a range holds the address, its ends included. */
export function rangeContains(range: Range, address: string): boolean {
  return number(range.first) <= number(address) && number(address) <= number(range.last)
}

/** Whether the network holds the address, its own and the broadcast address included. */
export function cidrContains(cidr: string, address: string): boolean {
  return containsCidr(cidr, `${address}/${isIP(address) === 6 ? 128 : 32}`)
}

/** First and last address of a network, network and broadcast address included. */
export function cidrBounds(cidr: string): Range {
  const { start, end } = parseCidr(cidr)
  return { first: fromNumber(start), last: fromNumber(end) }
}
