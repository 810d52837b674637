/** The agents of a running system, asked over HTTP for what they show. */
import { namespace } from '@vpn-gateway/config'
import { lookup } from 'node:dns/promises'

/** One agent's answers; what could not be had is absent. */
export interface AgentAnswer {
  url: string
  kind: 'gateway' | 'router' | 'node'
  /** Why it was not to be asked; absent when it was. */
  problem?: string
  status?: Record<string, unknown>
  /** Answers of its other routes, by name. */
  details: Record<string, unknown>
  /** Why others of them could not be had, one line each; absent when all were. */
  missing?: string[]
}

/** The headless Services and ports of the manifests. */
const services = [
  { kind: 'gateway', host: `gateway.${namespace}.svc`, port: 9801 },
  { kind: 'router', host: `router.${namespace}.svc`, port: 9802 },
  { kind: 'node', host: `node-agent.${namespace}.svc`, port: 9803 },
] as const

const details: Record<AgentAnswer['kind'], string[]> = {
  gateway: ['tunnel'],
  router: ['ipvs', 'vrrp'],
  node: [],
}

/** URLs of the agents that the cluster's names lead to, and names that lead nowhere, one line each. */
export async function findAgents(): Promise<{ urls: string[]; problems: string[] }> {
  const found = await Promise.all(
    services.map(async ({ kind, host, port }) => {
      try {
        const addresses = await lookup(host, { all: true })
        return {
          urls: addresses.map(({ address }) => `http://${address.includes(':') ? `[${address}]` : address}:${port}`),
          problems: [],
        }
      } catch (error) {
        // A system without routers has no Service of theirs.
        if (kind === 'router') return { urls: [], problems: [] }
        return { urls: [], problems: [`resolving ${host}: ${(error as NodeJS.ErrnoException).code}`] }
      }
    }),
  )
  return { urls: found.flatMap(({ urls }) => urls).sort(), problems: found.flatMap(({ problems }) => problems) }
}

/** Asks every agent at once; none waits longer than `timeout` milliseconds. */
export async function askAgents(urls: readonly string[], timeout: number): Promise<AgentAnswer[]> {
  return Promise.all(urls.map((url) => ask(url.replace(/\/$/, ''), timeout)))
}

async function ask(url: string, timeout: number): Promise<AgentAnswer> {
  const get = async (path: string): Promise<Record<string, unknown>> => {
    const response = await fetch(`${url}/v1/${path}`, { signal: AbortSignal.timeout(timeout) })
    if (!response.ok) throw new Error(`HTTP ${response.status}`)
    return parseAnswer(await textOf(response))
  }
  try {
    const status = await get('status')
    const kind = kindOf(status['agent'])
    if (kind === undefined) throw new Error('is no agent of this system')
    const names = details[kind]
    const answers = await Promise.allSettled(names.map(get))
    const missing = answers.flatMap((answer, index) =>
      answer.status === 'rejected' ? [`/v1/${names[index] ?? ''}: ${reasonOf(answer.reason)}`] : [],
    )
    return {
      url,
      kind,
      status,
      details: Object.fromEntries(
        answers.flatMap((answer, index) => (answer.status === 'fulfilled' ? [[names[index] ?? '', answer.value]] : [])),
      ),
      ...(missing.length > 0 ? { missing } : {}),
    }
  } catch (error) {
    const port = Number(new URL(url).port)
    const kind = services.find((service) => service.port === port)?.kind ?? 'node'
    return { url, kind, problem: reasonOf(error), details: {} }
  }
}

/** Bytes of one answer: a router with 257 services of 250 gateways each, the most that a system file can ask for, has 13 MB. */
const longestAnswer = 16 * 1024 * 1024

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > longestAnswer) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The members of an answer; throws where it is no JSON object. The message is one line and repeats nothing of it. */
export function parseAnswer(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error('the answer is no JSON', { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('the answer is no JSON object')
  return value as Record<string, unknown>
}

function kindOf(agent: unknown): AgentAnswer['kind'] | undefined {
  return (['gateway', 'router', 'node'] as const).find((kind) => agent === `${kind}-agent`)
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'no answer in time'
  const { code } = (error.cause ?? {}) as { code?: string }
  return code ?? error.message
}
