/**
 * The virtual services of IPVS, told apart by firewall marks. Flows of ordinary clients have one. Each range of clients that
 * is to stay with a gateway has its own, because persistence is a property of a service.
 *
 * IPVS remembers by client alone in a service by mark: its template has the mark in the place of the destination. To
 * remember by client and destination, the destination has to be in the mark: its last four bits choose one of sixteen.
 */
import { serviceScheduler, type System } from '@vpn-gateway/config'
import { rangeTest } from './range.ts'
import { flowMark, type Router } from './router.ts'

export interface FlowService {
  /** `flows`, or `sticky-0` and so on in the order of the system file. */
  name: string
  /** More than one where the destination has a part in it. */
  marks: readonly number[]
  /** Undefined for the ordinary one. */
  sticky?: System['router']['stickiness'][number]
}

/** Scheduler of a service. */
export function schedulerOf({ system }: Pick<Router, 'system'>, { sticky }: Pick<FlowService, 'sticky'>): string {
  return serviceScheduler(system, sticky)
}

/** Upper half of the marks of all sticky services, by which rules match them. */
export const stickyMark = { mark: 0x10000, mask: 0xffff0000 } as const

/** Bits of the destination that are part of the mark. */
export const destinationMask = 0xf

/** All services of a router, the ordinary one first. */
export function flowServices({ system }: Pick<Router, 'system'>): FlowService[] {
  return [
    { name: 'flows', marks: [flowMark] },
    ...system.router.stickiness.map((sticky, index): FlowService => {
      const first = stickyMark.mark + index * 0x100
      const marks = sticky.by === 'client' ? 1 : destinationMask + 1
      return { name: `sticky-${index}`, marks: Array.from({ length: marks }, (_, part) => first + part), sticky }
    }),
  ]
}

/** Whether any client is to stay with a gateway. */
export function hasSticky({ system }: Pick<Router, 'system'>): boolean {
  return system.router.stickiness.length > 0
}

/** Makes the function that tells a mark by which a client's gateway is found: of its sticky services any will do. */
export function markOfClient(router: Pick<Router, 'system'>): (client: string) => number {
  const services = flowServices(router).flatMap(({ sticky, marks }) =>
    sticky === undefined ? [] : [{ holds: rangeTest(sticky.clients), mark: marks[0] ?? flowMark }],
  )
  return (client) => services.find(({ holds }) => holds(client))?.mark ?? flowMark
}
