/**
 * The world around one real gateway-agent. Three namespaces: the gateway's pod, a client that is the router too (it holds
 * the VIP), and a world with the pod network, the providers, the internet and the ingress service in one. The agent is the
 * bundle: `pnpm build` comes first.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createRunner, wireguardPublicKey, type Runner } from '@vpn-gateway/kernel'

const main = fileURLToPath(new URL('../../dist/gateway-agent.mjs', import.meta.url))
const host = createRunner()

/** Runs commands in a namespace. */
function on(namespace: string): Runner['run'] {
  return ({ argv, ...rest }) => host.run({ ...rest, argv: ['ip', 'netns', 'exec', namespace, ...argv] })
}

/** A private key made of a word. */
export const key = (word: string) => createHash('sha256').update(word).digest('base64')

/** How a program ended, whatever the end. */
function finish(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
}

/** Asks again until the answer holds; every try is a process of its own, which is pause enough. */
export async function until<T>(what: string, seconds: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const result = await attempt().catch(() => undefined)
    if (result !== undefined) return result
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`)
  }
}

export interface Agent {
  child: ChildProcess
  ended: Promise<{ code: number | null; signal: string | null }>
  log: string[]
  errors: string[]
  /** Resolves with the first log line, past or future, that holds the text. */
  said(text: string): Promise<string>
  /** Resolves with the first log line from now on that holds the text, and when it was written, in Unix seconds. */
  next(text: string): Promise<{ line: string; at: number }>
}

export interface AgentOptions {
  system?: string
  tunnel: string
  interface?: string
  path?: string
}

/** A TCP connection by the shell, which starts in a tenth of Node's time under emulation. */
export const dial = (address: string, port: number, then: string) => `exec 3<>/dev/tcp/${address}/${port} && ${then}`

/** One end of a provider's tunnel in the world. */
export interface Provider {
  /** Link in the world. */
  dev: string
  /** UDP port. */
  port: number
  privateKey: string
  gatewayKey: string
  /** Address of the gateway in the tunnel. */
  gatewayAddress: string
  mtu?: number
}

/** Makes the namespaces, named after `prefix`, with cables and addresses, and the system file. `close` takes all away. */
export async function createGatewayWorld(prefix: string, system: string) {
  const gateway = `${prefix}-gateway`
  const client = `${prefix}-client`
  const world = `${prefix}-world`
  const namespaces = [gateway, client, world]
  const inGateway = on(gateway)
  const inClient = on(client)
  const inWorld = on(world)
  const running = new Set<ChildProcess>()
  const directory = await mkdtemp(join(tmpdir(), 'gateway-agent-'))
  const systemFile = join(directory, 'system.yaml')
  await mkdir(join(directory, 'run'))
  await writeFile(systemFile, system)

  /** Starts a program in a namespace without a shell; what is still running at the end is killed. */
  function start(namespace: string, argv: readonly string[], path?: string): ChildProcess {
    const env = { ...process.env, LC_ALL: 'C', ...(path === undefined ? {} : { PATH: path }) }
    // By its full path: the test of a missing program takes everything else off PATH.
    const child = spawn('/sbin/ip', ['netns', 'exec', namespace, ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(child)
    child.once('exit', () => running.delete(child))
    return child
  }

  function startAgent(options: AgentOptions): Agent {
    const argv = [
      process.execPath,
      main,
      '--config',
      options.system ?? systemFile,
      '--name',
      'gateway-0',
      '--tunnel',
      options.tunnel,
      '--interface',
      options.interface ?? 'net1',
      '--primary',
      'eth0',
      '--run-dir',
      join(directory, 'run'),
    ]
    const child = start(gateway, argv, options.path)
    const log: string[] = []
    const errors: string[] = []
    let waiting: { text: string; resolve: (line: string) => void }[] = []
    if (child.stdout === null || child.stderr === null) throw new Error('no pipes')
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.push(line)
      const heard = waiting.filter(({ text }) => line.includes(text))
      waiting = waiting.filter(({ text }) => !line.includes(text))
      for (const one of heard) one.resolve(line)
    })
    createInterface({ input: child.stderr }).on('line', (line) => errors.push(line))
    const next = (text: string) => new Promise<string>((resolve) => waiting.push({ text, resolve }))
    return {
      child,
      ended: finish(child),
      log,
      errors,
      said: (text) => {
        const past = log.find((line) => line.includes(text))
        return past === undefined ? next(text) : Promise.resolve(past)
      },
      async next(text) {
        const line = await next(text)
        const { time } = JSON.parse(line) as { time: number | string }
        return { line, at: new Date(time).getTime() / 1000 }
      },
    }
  }

  /** Asks the agent over HTTP from a namespace; the shell's own TCP needs no program that may be absent. */
  async function ask(
    path: string,
    from = gateway,
    method = 'GET',
    address = '127.0.0.1',
  ): Promise<{ status: number; body: string }> {
    const request = `${method} ${path} HTTP/1.1\\r\\nHost: gateway\\r\\nConnection: close\\r\\n\\r\\n`
    const script = `exec 3<>/dev/tcp/${address}/9801 && printf '${request}' >&3 && cat <&3`
    const answer = await on(from)({ argv: ['timeout', '30', 'bash', '-c', script], timeoutMs: 40_000 })
    const [head = '', ...body] = answer.split('\r\n\r\n')
    return { status: Number(head.split(' ')[1]), body: body.join('\r\n\r\n') }
  }

  const ready = () =>
    until('ready', 100, async () => {
      const answer = await ask('/readyz')
      return answer.status === 200 ? answer : undefined
    })

  /** Starts an agent and waits until it is ready; where it does not get there, the error holds what it said. */
  async function startReady(options: AgentOptions): Promise<Agent> {
    const agent = startAgent(options)
    await ready().catch((error: unknown) => {
      throw new Error([String(error), ...agent.errors, ...agent.log.slice(-80)].join('\n'), { cause: error })
    })
    return agent
  }

  /** Sum of a metric's series; `labels` is a part of what stands in their braces. */
  async function metric(name: string, labels = ''): Promise<number> {
    const { body } = await ask('/metrics')
    return [...body.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, 'gm'))]
      .filter((match) => (match[1] ?? '').includes(labels))
      .reduce((sum, match) => sum + Number(match[2]), 0)
  }

  /** The first line that a TCP connection from a namespace hears, or why there is none. */
  async function hears(from: string, address: string, port: number): Promise<string> {
    const script = dial(address, port, 'head -n 1 <&3')
    const text = await on(from)({ argv: ['timeout', '4', 'bash', '-c', `(${script}) 2>&1 || true`] }).catch(
      () => 'silence',
    )
    return /No route to host/.test(text) ? 'refused' : text.trim()
  }

  /** Packets that reached the world by the pod network and are neither WireGuard's nor for the cluster. */
  async function leaked(): Promise<number> {
    const text = await inWorld({ argv: ['iptables', '-t', 'raw', '-L', 'LEAK', '-nvx'] })
    return Number(/^\s*(\d+)/.exec(text.split('\n')[2] ?? '')?.[1] ?? Number.NaN)
  }

  async function cable(a: [string, string, string], b: [string, string, string]): Promise<void> {
    await host.run({
      argv: ['ip', 'link', 'add', a[1], 'netns', a[0], 'type', 'veth', 'peer', 'name', b[1], 'netns', b[0]],
    })
    for (const [namespace, dev, address] of [a, b]) {
      await on(namespace)({ argv: ['ip', 'address', 'add', address, 'dev', dev] })
      await on(namespace)({ argv: ['ip', 'link', 'set', dev, 'up'] })
    }
  }

  /** Addresses of the world, and a count of what reaches it beside the tunnels, which come in at `endpoints`. */
  async function openWorld(addresses: readonly string[], endpoints: readonly [address: string, port: number][]) {
    await host.run({ argv: ['modprobe', '-a', 'nft_compat', 'nf_conntrack'] }).catch(() => undefined)
    await inWorld({ argv: ['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0'] })
    for (const address of addresses) await inWorld({ argv: ['ip', 'address', 'add', `${address}/32`, 'dev', 'lo'] })
    for (const rule of [
      '-N LEAK',
      '-A LEAK',
      ...endpoints.map(([address, port]) => `-A PREROUTING -i eth0 -d ${address} -p udp --dport ${port} -j RETURN`),
      '-A PREROUTING -i eth0 -d 10.0.0.0/8 -j RETURN',
      '-A PREROUTING -i eth0 -j LEAK',
    ]) {
      await inWorld({ argv: ['iptables', '-t', 'raw', ...rule.split(' ')] })
    }
  }

  /** A provider by the kernel's WireGuard. Made again under the same name it has forgotten all sessions. */
  async function openProvider(provider: Provider): Promise<void> {
    const { dev, mtu = 1420, gatewayAddress } = provider
    await inWorld({ argv: ['ip', 'link', 'add', dev, 'mtu', String(mtu), 'type', 'wireguard'] })
    await configureProvider(provider)
    await inWorld({ argv: ['ip', 'link', 'set', dev, 'up'] })
    await inWorld({ argv: ['ip', 'route', 'replace', `${gatewayAddress}/32`, 'dev', dev] })
  }

  /** Gives the provider's link its keys and port. */
  async function configureProvider({ dev, port, privateKey, gatewayKey, gatewayAddress }: Provider): Promise<void> {
    const lines = [
      `[Interface]\nPrivateKey = ${privateKey}\nListenPort = ${port}`,
      `[Peer]\nPublicKey = ${wireguardPublicKey(gatewayKey)}\nAllowedIPs = ${gatewayAddress}/32\n`,
    ]
    const file = join(directory, `provider-${dev}.conf`)
    await writeFile(file, lines.join('\n'), { mode: 0o600 })
    await inWorld({ argv: ['wg', 'setconf', dev, file] })
  }

  /** TCP servers in the world that say who called, and then what they hear. */
  async function listen(places: readonly [address: string, port: number][]): Promise<void> {
    const answer = `const places = ${JSON.stringify(places)}
      let left = places.length
      for (const [h, p] of places)
        require('net').createServer(s=>{s.on('error',()=>{});s.write('caller '+s.remoteAddress+'\\n');s.pipe(s)})
          .listen(p, h, () => --left === 0 && console.log('listening'))`
    const server = start(world, [process.execPath, '-e', answer])
    await new Promise((resolve) => server.stdout?.once('data', resolve))
  }

  /** Lets the gateway's pod ask this name server; ip-netns(8) mounts the file over /etc/resolv.conf. */
  async function resolveBy(address: string): Promise<void> {
    await mkdir(`/etc/netns/${gateway}`, { recursive: true })
    await writeFile(`/etc/netns/${gateway}/resolv.conf`, `nameserver ${address}\noptions timeout:1 attempts:2\n`)
  }

  async function close(): Promise<void> {
    const ends = [...running].map((child) => {
      const end = finish(child)
      child.kill('SIGKILL')
      return end
    })
    await Promise.all(ends)
    for (const namespace of namespaces) await host.run({ argv: ['ip', 'netns', 'del', namespace] })
    await rm(directory, { recursive: true, force: true })
    await rm(`/etc/netns/${gateway}`, { recursive: true, force: true })
  }

  for (const namespace of namespaces) {
    await host.run({ argv: ['ip', 'netns', 'add', namespace] })
    await on(namespace)({ argv: ['ip', 'link', 'set', 'lo', 'up'] })
  }
  await cable([gateway, 'net1', '192.168.50.248/24'], [client, 'net1', '192.168.50.10/24'])
  await cable([gateway, 'eth0', '10.42.0.5/16'], [world, 'eth0', '10.42.0.1/16'])
  for (const address of ['192.168.50.240/24', '192.168.50.241/24']) {
    await inClient({ argv: ['ip', 'address', 'add', address, 'dev', 'net1'] })
  }
  await inClient({ argv: ['ip', 'route', 'add', 'default', 'via', '192.168.50.248', 'src', '192.168.50.10'] })
  await inGateway({ argv: ['ip', 'route', 'add', 'default', 'via', '10.42.0.1'] })

  return {
    gateway,
    client,
    world,
    inGateway,
    inClient,
    inWorld,
    directory,
    systemFile,
    start,
    startAgent,
    startReady,
    ask,
    ready,
    metric,
    hears,
    leaked,
    close,
    openWorld,
    openProvider,
    configureProvider,
    listen,
    resolveBy,
  }
}

/** The system file that the tests begin with. */
export const exampleSystem = `version: 1
intranet: [10.0.0.0/8]
gatewayNetwork:
  subnet: 192.168.50.0/24
  clients: 192.168.50.1-192.168.50.239
  vip: 192.168.50.240
  routers: 192.168.50.241-192.168.50.247
  gateways: 192.168.50.248-192.168.50.254
  mtu: 1420
  bridge: vpn-gateway
  vxlan: { vni: 5001 }
routerNetwork:
  subnet: 192.168.51.0/24
  mtu: 1450
  bridge: vpn-router
  vxlan: { vni: 5002 }
underlay:
  mtu: 1500
  peers: { multicast: 239.1.1.1 }
tunnel:
  probe: { targets: ['203.0.113.10:80'] }
gateway:
  drainSeconds: 20
forwards:
  - name: web
    protocol: tcp
    port: 45678
    to: { address: 10.96.0.100, port: 8080 }
`

/** A provider's wg-quick file. */
export function tunnelText(provider: Provider, endpoint: string, lines: readonly string[] = []): string {
  return [
    '[Interface]',
    `PrivateKey = ${provider.gatewayKey}`,
    `Address = ${provider.gatewayAddress}/32`,
    ...lines.filter((line) => line.startsWith('MTU')),
    '',
    '[Peer]',
    `PublicKey = ${wireguardPublicKey(provider.privateKey)}`,
    'AllowedIPs = 0.0.0.0/0',
    `Endpoint = ${endpoint}`,
    ...lines.filter((line) => !line.startsWith('MTU')),
    '',
  ].join('\n')
}
