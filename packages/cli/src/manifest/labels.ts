/** Names and labels that the manifests share. */

export type AgentKind = 'gateway' | 'router' | 'node'

/** Labels that select the pods of one agent; immutable in a workload's selector, so nothing that changes belongs here. */
export function selectorOf(kind: AgentKind): Record<string, string> {
  return { 'app.kubernetes.io/name': 'vpn-gateway', 'app.kubernetes.io/component': `${kind}-agent` }
}

/** Labels of what belongs to the system as a whole. */
export const systemLabels = { 'app.kubernetes.io/name': 'vpn-gateway' }
