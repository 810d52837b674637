/**
 * Who may talk to the pods over the cluster's own network. The gateway and router networks are layer 2 of their own, where
 * no policy of the cluster applies; the agents' filters rule there. The node agent is on the node's network, which policies
 * do not reach either.
 */
import type { INetworkPolicy, INetworkPolicyEgressRule } from 'kubernetes-models/networking.k8s.io/v1'
import type { System } from '@vpn-gateway/config'
import { isIPv4 } from 'node:net'
import { httpPort } from './agent-container.ts'
import type { Deployment } from './deployment.ts'
import { selectorOf, type AgentKind } from './labels.ts'

/** Label of the namespaces whose pods may read metrics and status. */
const scraperLabel = { 'vpn-gateway/scraper': 'true' }

export function networkPolicies(deployment: Deployment): INetworkPolicy[] {
  const { system } = deployment
  const gateway = policy(deployment, 'gateway', gatewayEgress(system))
  // What routers send goes through their own two networks.
  return system.routerNetwork === undefined ? [gateway] : [gateway, policy(deployment, 'router', [])]
}

function policy(
  { namespace }: Deployment,
  kind: Exclude<AgentKind, 'node'>,
  egress: INetworkPolicyEgressRule[],
): INetworkPolicy {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: kind, namespace, labels: selectorOf(kind) },
    spec: {
      podSelector: { matchLabels: selectorOf(kind) },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [{ podSelector: {} }, { namespaceSelector: { matchLabels: scraperLabel } }],
          ports: [{ protocol: 'TCP', port: httpPort[kind] }],
        },
      ],
      egress,
    },
  }
}

function gatewayEgress({ forwards, intranet, gateway }: System): INetworkPolicyEgressRule[] {
  const rules: INetworkPolicyEgressRule[] = [
    // WireGuard to a provider at any port, and DNS for its name. Clients' TCP has no way around the tunnel, even here.
    { ports: [{ protocol: 'UDP' }, { protocol: 'TCP', port: 53 }] },
    // `vpn-gateway status`, run in a gateway pod: the other agents, and those of the nodes at the nodes' addresses.
    {
      to: [{ podSelector: {} }, ...intranet.map((cidr) => ({ ipBlock: { cidr } }))],
      ports: Object.values(httpPort).map((port) => ({ protocol: 'TCP', port })),
    },
  ]
  if (forwards.length > 0) {
    // A service address becomes a pod's, at the pod's port, before many plugins judge it. Some judge pods by label only,
    // so that addresses alone would not match them.
    rules.push({ to: [{ namespaceSelector: {} }, ...intranet.map((cidr) => ({ ipBlock: { cidr } }))] })
  }
  if (gateway.forwardsHook !== undefined) rules.push(hookRule(gateway.forwardsHook))
  return rules
}

/** A policy knows no names: for one, it is the agent's own filter that allows no more than the address behind it. */
function hookRule(hook: string): INetworkPolicyEgressRule {
  const { hostname, port, protocol } = new URL(hook)
  const ports = [{ protocol: 'TCP' as const, port: Number(port) || (protocol === 'https:' ? 443 : 80) }]
  return isIPv4(hostname) ? { to: [{ ipBlock: { cidr: `${hostname}/32` } }], ports } : { ports }
}
