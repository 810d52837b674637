/**
 * The whole system with every agent in its own image, under the settings of deploy/'s manifests: a program or library that an
 * image lacks, or a privilege that a manifest lacks, shows here.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseIpvs } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDocument } from 'yaml'
import {
  awaitCondition,
  bringUp,
  containerPid,
  exitAddress,
  inContainer,
  type Lab,
  logPath,
  manifestOf,
  takeDown,
} from '@vpn-gateway/lab'

let lab: Lab

beforeAll(async () => {
  const images = process.env['VPN_GATEWAY_IMAGES']
  if (images === undefined) throw new Error('VPN_GATEWAY_IMAGES: expected the directory of the unpacked images')
  lab = await bringUp({ images, onStep: (step, ms) => console.log(`${(ms / 1000).toFixed(1)} s ${step}`) })
}, 600_000)

afterAll(async () => {
  lab?.close()
  await takeDown()
})

/** Numbers of capabilities in linux/capability.h. */
const numbers: Readonly<Record<string, number>> = { NET_ADMIN: 12, NET_RAW: 13, SYS_NICE: 23 }
const containers = ['node-1', 'node-2', 'gateway-0', 'gateway-1', 'gateway-2', 'router-0', 'router-1'] as const
const kindOf = (name: string) => name.replace(/-\d+$/, '') as 'node' | 'gateway' | 'router'
const inside = (name: string, ...argv: string[]) => lab.exec(name, inContainer(name, argv))
const logged = (name: string): string => readFileSync(logPath(name), 'utf8')
/** What an agent and its daemons say from now on. */
function listen(name: string): () => string {
  const { length } = logged(name)
  return () => logged(name).slice(length)
}

/** Fields of /proc/PID/status of a container's first process. */
function statusOf(name: string): Map<string, string> {
  const pid = containerPid(name)
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return new Map(text.split('\n').map((line) => line.split(/:\s*/) as [string, string]))
}

/** Starts an agent again as the manifest has it, or without one of its capabilities. */
async function startAgain(name: string, without?: string): Promise<void> {
  if (lab.agents.pid(name) !== undefined) await lab.agents.kill(name)
  await lab.agents.prepare(name, (template) => {
    const { capabilities } = template.container.securityContext
    if (without !== undefined && capabilities)
      capabilities.add = capabilities.add?.filter((each) => each !== without) ?? []
    return template
  })
  lab.agents.start(name)
}

test.each(containers)('%s has what its manifest gives it and nothing more', async (name) => {
  const { container } = await manifestOf(lab, kindOf(name))
  const wanted = container.securityContext.capabilities?.add ?? []
  const mask = wanted.reduce((sum, each) => sum | (1n << BigInt(numbers[each] ?? Number.NaN)), 0n)
  const status = statusOf(name)
  const sets = ['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'] as const
  const held = Object.fromEntries(sets.map((set) => [set, BigInt(`0x${status.get(set)}`)]))
  expect(held).toEqual({ CapPrm: mask, CapEff: mask, CapBnd: mask, CapInh: 0n, CapAmb: 0n })
  // 2 is a filter, in proc(5).
  expect({ privileges: status.get('NoNewPrivs'), seccomp: status.get('Seccomp') }).toEqual({
    privileges: '1',
    seccomp: '2',
  })
})

test.each(containers)('%s can write to its emptyDir and to no other directory of the pod', async (name) => {
  const script = `find / -type d '(' -path /proc -o -path /sys ')' -prune -o -type d -print | while read -r each; do
  (: >"$each/.probe") 2>/dev/null && rm "$each/.probe" && echo "$each"
done; true`
  const written = (await inside(name, 'sh', '-c', script)).trim().split('\n')
  // Runtimes make /dev anew for every container, in memory and writable.
  expect(written.filter((path) => path !== '/dev' && !path.startsWith('/dev/'))).toEqual(['/run/vpn-gateway'])
})

test.each(['gateway', 'router', 'node'])('the image of the %s agent adds at most 40 MB to its base', (kind) => {
  const text = readFileSync(join(process.env['VPN_GATEWAY_IMAGES'] ?? '', kind, 'image.json'), 'utf8')
  const { overBase } = JSON.parse(text) as { overBase: { bytes: number } }
  expect(overBase.bytes).toBeGreaterThan(5e6)
  expect(overBase.bytes).toBeLessThanOrEqual(40e6)
})

test('flows leave through every exit', async () => {
  const flows = await lab.startFlows({ client: 'client-0', count: 30, intervalMs: 500 })
  try {
    const { alive, lost, perExit } = await flows.report()
    expect({ alive, lost }).toEqual({ alive: 30, lost: 0 })
    expect(Object.keys(perExit).toSorted()).toEqual([0, 1, 2].map(exitAddress))
  } finally {
    await flows.stop()
  }
})

test('a forwarded port reaches the service', async () => {
  const inbound = await lab.inbound('provider-0')
  expect(inbound.seenBy).toBe(inbound.gateway)
})

test('what is left by a child that ended is reaped', async () => {
  const states = () =>
    inside('router-0', 'sh', '-c', "sed -n 's/^State:[[:space:]]*//p' /proc/[0-9]*/status 2>/dev/null")
  // The shell ends first; its child's parent is then the container's first process.
  await inside('router-0', 'sh', '-c', '(read -r _ </run/vpn-gateway/none; exec true) & exit 0')
  const left = await awaitCondition(
    'no zombie to be left',
    async () => {
      const found = await states()
      return found.includes('Z') ? undefined : found
    },
    { timeoutMs: 30_000 },
  )
  // The agent itself was looked at, so a zombie would have been.
  expect(left).toMatch(/S \(sleeping\)/)
})

test('a changed system file is taken over in place: no daemon of a router ends', async () => {
  const routers = ['router-0', 'router-1'] as const
  const daemons = () =>
    Promise.all(
      routers.map((name) => inside(name, 'sh', '-c', "grep -lE '^(keepalived|conntrackd)$' /proc/[0-9]*/comm")),
    )
  const serversOf = async (name: string) =>
    parseIpvs(await lab.exec(name, ['cat', '/proc/net/ip_vs'])).flatMap(({ realServers }) => realServers)
  const everywhere = (address: string, wanted: number) =>
    awaitCondition(
      `weight ${wanted} of ${address} on both routers`,
      async () => {
        const servers = await Promise.all(routers.map(serversOf))
        return servers.every((each) => each.some((one) => one.address === address && one.weight === wanted))
          ? true
          : undefined
      },
      { timeoutMs: 60_000 },
    )
  await Promise.all(routers.map((name) => lab.agents.awaitReady(name)))
  const [{ address: gateway } = { address: '' }] = await serversOf('router-0')
  await everywhere(gateway, 100)
  const before = await daemons()
  expect(before.map((text) => text.trim().split('\n').length)).toEqual([4, 4])
  let published = ''
  await lab.changeSystem((text) => {
    published = text
    const document = parseDocument(text)
    document.setIn(['gateway', 'weights', gateway], 300)
    return document.toString()
  })
  await everywhere(gateway, 300)
  await lab.changeSystem(() => published)
  await everywhere(gateway, 100)
  // A limit that a daemon sets itself without the right to raise it again would end it at the next tick.
  expect(await daemons()).toEqual(before)
}, 200_000)

describe('each capability beyond NET_ADMIN is needed', () => {
  /** Whether it goes wrong without it, and well with it. */
  const proofs: Record<string, () => Promise<boolean>> = {
    'router NET_RAW': async () => {
      await startAgain('router-1')
      await lab.agents.awaitReady('router-1')
      const said = listen('router-1')
      await startAgain('router-1', 'NET_RAW')
      await awaitCondition(
        'keepalived to say that it has no raw socket, and the agent that it lacks keepalived',
        async () => {
          const { reasons } = await lab.agents.readiness('router-1')
          return /raw/i.test(said()) && /keepalived|VRRP/.test(reasons.join()) ? true : undefined
        },
        { timeoutMs: 60_000 },
      )
      return (await lab.agents.readiness('router-1')).state !== 'ready'
    },
    'router SYS_NICE': async () => {
      /** Whether a daemon has a real-time policy, field 41 of proc(5): 1 or 2 in sched(7). */
      const realTime = async () =>
        (await inside('router-1', 'sh', '-c', 'cat /proc/[0-9]*/stat'))
          .split('\n')
          .filter((line) => /\((keepalived|conntrackd)\)/.test(line))
          .some((line) => ['1', '2'].includes(line.slice(line.lastIndexOf(')') + 2).split(' ')[38] ?? ''))
      await startAgain('router-1')
      await lab.agents.awaitReady('router-1')
      const withIt = await realTime()
      await startAgain('router-1', 'SYS_NICE')
      await lab.agents.awaitReady('router-1')
      return withIt && !(await realTime())
    },
  }

  test.each(Object.entries(proofs))('%s', async (_, proof) => expect(await proof()).toBe(true), 200_000)

  test('there is a proof for each that a manifest has', async () => {
    const found: string[] = []
    for (const kind of ['node', 'gateway', 'router'] as const) {
      const { container } = await manifestOf(lab, kind)
      const more = (container.securityContext.capabilities?.add ?? []).filter((each) => each !== 'NET_ADMIN')
      found.push(...more.map((each) => `${kind} ${each}`))
    }
    expect(found.toSorted()).toEqual(Object.keys(proofs).toSorted())
  })

  test.each(['gateway-0', 'router-1', 'node-1'])('without NET_ADMIN %s ends and says why', async (name) => {
    const said = listen(name)
    await startAgain(name, 'NET_ADMIN')
    await awaitCondition(`${name} to end`, () => (lab.agents.pid(name) === undefined ? true : undefined), {
      timeoutMs: 60_000,
    })
    expect(said()).toMatch(/not permitted: expected CAP_NET_ADMIN/)
    await startAgain(name)
    await lab.agents.awaitReady(name)
  })
})

test('told to end, an agent hears it through tini and ends in order', async () => {
  const image = readFileSync(join(process.env['VPN_GATEWAY_IMAGES'] ?? '', 'gateway/image.json'), 'utf8')
  const { config } = JSON.parse(image) as { config: { StopSignal: NodeJS.Signals } }
  const said = listen('gateway-1')
  await lab.agents.stop('gateway-1', { signal: config.StopSignal })
  expect(said()).toContain('"msg":"stopping"')
})
