/** Changes of the system file that stories make. */
import { parseDocument } from 'yaml'

/** The system file with another weight of one gateway. */
export function withWeight(text: string, address: string, weight: number): string {
  const document = parseDocument(text)
  document.setIn(['gateway', 'weights', address], weight)
  return document.toString()
}

/** Where forwarded ports lead to. */
export const serviceEnd = { address: '10.96.0.100', port: 8080 }

/** A forward whose port the provider lends, for ten seconds at a time. */
export const lentForward = {
  name: 'lent',
  protocol: 'both',
  lease: { protocol: 'nat-pmp', gateway: '10.9.0.1', lifetime: 10 },
  to: serviceEnd,
}

/** The system file with one more forwarded port. */
export function withForward(text: string, forward: object): string {
  const document = parseDocument(text)
  document.addIn(['forwards'], forward)
  return document.toString()
}
