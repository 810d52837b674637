import type { Deployment } from './deployment.ts'
import { stopSeconds } from './agent-container.ts'
import type { AgentKind } from './labels.ts'

/** What a workload is and why it is updated as it is, for whoever reads the manifest or asks `kubectl describe`. */
export function descriptionOf({ system }: Deployment, kind: AgentKind): Record<string, string> {
  return { 'kubernetes.io/description': texts[kind](system.gateway.drainSeconds, system.routerNetwork !== undefined) }
}

const texts: Record<AgentKind, (drainSeconds: number, routers: boolean) => string> = {
  node: () =>
    'Bridges and VXLAN links on every node. Updates: a fifth of the nodes at once, since links stay without an agent; no surge, since two agents of a node would want one port. A version that does not become ready stops there.',
  router: () =>
    'The active router and the one that stands by with all of its flows. Updates: one at a time, the other once the first was ready for 30 s; by then it has been told every flow in use. Ready means VRRP, sync in both directions and a live gateway.',
  gateway: (drainSeconds, routers) =>
    `One VPN tunnel a pod. Updates: ${
      routers
        ? 'one at a time, the next once the last was ready for 5 s and routers have seen it answer'
        : 'there is one, so that clients have no internet until the next is ready'
    }. The grace period is the ${drainSeconds} s in which its flows may end, without new ones, and ${stopSeconds + 5} s to stop.`,
}
