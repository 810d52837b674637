import { UserError } from '@vpn-gateway/config/errors'
import type { OptionDeclarations } from '@vpn-gateway/runtime'

/** Beside these the node agent needs nothing: what it has to know of the node, it finds there. */
export const nodeOptions = {
  remove: {
    flag: 'remove',
    value: 'yes|no',
    env: 'VPN_GATEWAY_REMOVE',
    default: 'no',
    help: 'yes: take away all links and rules of the agent on this node, and keep them away',
    check: (value: string) => (['yes', 'no'].includes(value) ? undefined : 'expected yes or no'),
  },
  apiServer: {
    flag: 'api-server',
    value: 'URL',
    default: '',
    help: "the cluster's API, for underlay.peers.kubernetes; empty: the one that Kubernetes tells pods of",
    check: (value: string) => (value === '' || isServer(value) ? undefined : 'expected http(s)://HOST:PORT'),
  },
  apiCredentials: {
    flag: 'api-credentials',
    value: 'DIR',
    default: '/var/run/secrets/kubernetes.io/serviceaccount',
    help: 'directory with token and ca.crt for it',
  },
} satisfies OptionDeclarations

function isServer(url: string): boolean {
  return /^https?:\/\/[^/\s]+\/?$/.test(url) && URL.canParse(url)
}

/**
 * Where the API server is, by option or by the variables that Kubernetes sets in every pod; undefined outside a cluster.
 * Throws a `UserError` for variables that say no host and port.
 */
export function apiServer(option: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (option !== '') return option
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (host === undefined || host === '') return undefined
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  if (isServer(url)) return url
  throw new UserError(
    `KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT: "${host}", "${port}": expected a host and a port`,
  )
}
