/** Changes of the system file that stories make. */
import { parseDocument } from 'yaml'

/** The system file with another weight of one gateway. */
export function withWeight(text: string, address: string, weight: number): string {
  const document = parseDocument(text)
  document.setIn(['gateway', 'weights', address], weight)
  return document.toString()
}

/** The system file with one more forwarded port. */
export function withForward(text: string, forward: object): string {
  const document = parseDocument(text)
  document.addIn(['forwards'], forward)
  return document.toString()
}
