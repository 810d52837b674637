/**
 * The whole system with every agent in its own image, under the settings of deploy/'s manifests: a program or library that an
 * image lacks, or a privilege that a manifest lacks, shows here.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRunner, parseIpvs } from '@vpn-gateway/kernel'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, parseDocument } from 'yaml'
import {
  awaitCondition,
  bringUp,
  containerPid,
  exitAddress,
  inContainer,
  type Lab,
  logPath,
  manifestOf,
  type PodTemplate,
  readPodTemplate,
  takeDown,
} from '@vpn-gateway/lab'

let lab: Lab

beforeAll(async () => {
  const images = process.env['VPN_GATEWAY_IMAGES']
  if (images === undefined) throw new Error('VPN_GATEWAY_IMAGES: expected the directory of the unpacked images')
  lab = await bringUp({ images, onStep: (step, ms) => console.log(`${(ms / 1000).toFixed(1)} s ${step}`) })
}, 1_200_000)

afterAll(async () => {
  lab?.close()
  await takeDown()
})

/** The parts of a pod's specification that a component adds to. */
interface PodSpec {
  volumes: PodTemplate['volumes']
  containers: Pick<PodTemplate['container'], 'volumeMounts'>[]
}

const kinds = ['gateway', 'router', 'node'] as const
/** A file of this repository, which the machine sees where it is. */
const ours = (path: string): string => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')
/** What was written beside the root file system of an image. */
const beside = (kind: string, file: string): string =>
  readFileSync(join(process.env['VPN_GATEWAY_IMAGES'] ?? '', kind, file), 'utf8')
function imageOf(kind: string) {
  return JSON.parse(beside(kind, 'image.json')) as {
    config: { StopSignal: NodeJS.Signals; Labels: Record<string, string> }
    overBase: { bytes: number; paths: string[] }
  }
}

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

/** Takes a capability out of a manifest's settings. */
const without =
  (capability: string) =>
  (template: PodTemplate): PodTemplate => {
    const { capabilities } = template.container.securityContext
    if (capabilities) capabilities.add = capabilities.add?.filter((each) => each !== capability) ?? []
    return template
  }

/** Starts an agent again as the manifest has it, or with other settings. */
async function startAgain(name: string, change?: (template: PodTemplate) => PodTemplate): Promise<void> {
  if (lab.agents.pid(name) !== undefined) await lab.agents.kill(name)
  await lab.agents.prepare(name, change)
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
  // find asks the kernel, access(2): to try each of a thousand directories would start as many processes.
  const script = `find / -type d '(' -path /proc -o -path /sys ')' -prune -o -type d -writable -print | while read -r each; do
  (: >"$each/.probe") 2>/dev/null && rm "$each/.probe" && echo "$each"
done; true`
  const written = (await inside(name, 'sh', '-c', script)).trim().split('\n')
  // Runtimes make /dev anew for every container, in memory and writable.
  expect(written.filter((path) => path !== '/dev' && !path.startsWith('/dev/'))).toEqual(['/run/vpn-gateway'])
})

describe.each(kinds)('the image of the %s agent', (kind) => {
  test('adds at most 40 MB to its base', () => {
    const { bytes } = imageOf(kind).overBase
    expect(bytes).toBeGreaterThan(5e6)
    expect(bytes).toBeLessThanOrEqual(40e6)
  })

  test("adds no compiler, no source map, and of the package manager's state only the list that scanners read", () => {
    const { paths } = imageOf(kind).overBase
    expect(paths).toContain(`/usr/lib/vpn-gateway/${kind}-agent.mjs`)
    expect(paths.filter((path) => path.startsWith('/var/') || path.endsWith('.deb'))).toEqual(['/var/lib/dpkg/status'])
    expect(paths.filter((path) => /\/(gcc|cc|c\+\+|g\+\+|clang|tcc|as|ld|make|perl|npm)[-.\d]*$/.test(path))).toEqual(
      [],
    )
    expect(paths.filter((path) => path.endsWith('.map'))).toEqual([])
    expect(ours(`dist/${kind}-agent.mjs`)).not.toMatch(/sourceMappingURL=(?!\$)/)
    // V8 would keep twice as much of it.
    expect(/[^\0-\x7f]/.test(ours(`dist/${kind}-agent.mjs`))).toBe(false)
  })

  test('says what it is', () => {
    const { Labels } = imageOf(kind).config
    const label = (name: string) => Labels[`org.opencontainers.image.${name}`]
    expect(label('title')).toBe(`vpn-gateway ${kind}-agent`)
    expect(label('licenses')).toBe('Apache-2.0')
    expect(label('version')).toBe('lab')
    expect(label('revision')).toMatch(/^([\da-f]{40}(-changed)?|unknown)$/)
    expect(label('base.name')).toMatch(/node/)
  })

  test('has a bill of materials, and a list of licences, of all that is in it', () => {
    const bill = JSON.parse(beside(kind, `${kind}-agent.cdx.json`)) as {
      bomFormat: string
      components: { purl: string; version: string }[]
    }
    expect(bill.bomFormat).toBe('CycloneDX')
    const purls = bill.components.map(({ purl }) => purl)
    expect(new Set(purls).size).toBe(purls.length)
    const names = new Set(purls.map((purl) => purl.split('@')[0]))
    const asked = ours(`images/${kind}/packages`).trim().split('\n')
    expect(asked.filter((name) => !names.has(`pkg:deb/debian/${name}`))).toEqual([])
    const bundled = JSON.parse(ours(`dist/${kind}-agent.packages.json`)) as { name: string; version: string }[]
    for (const { name, version } of bundled) expect(purls).toContain(`pkg:npm/${name.replace('@', '%40')}@${version}`)
    expect(bundled.map(({ name }) => name)).toEqual(expect.arrayContaining(['execa', 'fastify', 'pino', 'zod']))
    const licences = beside(kind, `${kind}-agent.licenses.txt`).trim().split('\n')
    expect(licences.map((line) => line.split('\t')[2])).toEqual(bill.components.map(({ version }) => version))
    expect(licences.filter((line) => (line.split('\t')[3] ?? '') === '')).toEqual([])
  })
})

test.each(['gateway-0', 'router-0', 'node-1'] as const)(
  '%s starts without loading what it does not use',
  async (name) => {
    const list = `data:text/javascript,process.on('exit', () => console.log(process.moduleLoadList.join()))`
    const agent = `/usr/lib/vpn-gateway/${kindOf(name)}-agent.mjs`
    // All of it is loaded before the system file is read, and this one is none.
    const wrong = `--config /dev/null --name x --listen 127.0.0.1:0${name === 'gateway-0' ? ' --tunnel /dev/null' : ''}`
    const command = `node --import "$1" "$2" ${wrong} 2>/run/vpn-gateway/wrong || [ $? = 2 ]`
    const loaded = await inside(name, 'sh', '-euc', command, 'sh', list, agent)
    expect(loaded).toContain('NativeModule http,')
    expect(loaded).toContain('NativeModule child_process,')
    expect(loaded).not.toContain('undici')
  },
)

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
      // A process may end between its being listed and its being read.
      routers.map((name) => inside(name, 'sh', '-c', "grep -lsE '^(keepalived|conntrackd)$' /proc/[0-9]*/comm || :")),
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
  const published = await lab.changeSystem((text) => {
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
  const host = createRunner()

  /** How the node agent is to run where the system file has it load modules, one of which nobody here has loaded. */
  async function loadingModules(): Promise<{ template: PodTemplate; text: string }> {
    const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-modules-'))
    try {
      const [file, manifests] = [join(directory, 'vpn-gateway.yaml'), join(directory, 'manifests')]
      const system = parseDocument(ours('deploy/vpn-gateway.yaml'))
      system.setIn(['node', 'loadModules'], true)
      system.setIn(['router', 'scheduler'], 'sh')
      await writeFile(file, String(system))
      const program = join(import.meta.dirname, '../../dist/vpn-gateway.mjs')
      await host.run({ argv: [process.execPath, program, 'render', file, '--output', manifests], timeoutMs: 60_000 })
      return { template: await readPodTemplate(manifests, 'node'), text: String(system) }
    } finally {
      await rm(directory, { recursive: true })
    }
  }

  /** Whether it goes wrong without it, and well with it. */
  const proofs: Record<string, () => Promise<boolean>> = {
    'router NET_RAW': async () => {
      await startAgain('router-1')
      await lab.agents.awaitReady('router-1')
      const said = listen('router-1')
      await startAgain('router-1', without('NET_RAW'))
      await awaitCondition(
        'keepalived to say that it may not have a raw socket, and the agent that it lacks keepalived',
        async () => {
          const { reasons } = await lab.agents.readiness('router-1')
          // Which socket it asks for first depends on its version.
          if (
            /raw socket|missing permission/i.test(said()) &&
            // Not only what every router says that has just started.
            /raw sockets|keepalived is|process does not run/.test(reasons.join())
          )
            return true
          throw new Error(`${reasons.join()}: ${said().slice(-2000)}`)
        },
        { timeoutMs: 150_000 },
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
      await startAgain('router-1', without('SYS_NICE'))
      await lab.agents.awaitReady('router-1')
      return withIt && !(await realTime())
    },
    'node SYS_MODULE': async () => {
      const { template, text } = await loadingModules()
      const ownFile = '/run/vpn-gateway/own.yaml'
      const start = async (missing: string) => {
        await host.run({ argv: ['modprobe', '-r', 'ip_vs_sh'] })
        await startAgain('node-2', () => {
          const changed = without(missing)(structuredClone(template))
          changed.container.args = changed.container.args.map((each) => (each.endsWith('.yaml') ? ownFile : each))
          return changed
        })
      }
      await lab.exec('node-2', inContainer('node-2', ['sh', '-c', `cat >${ownFile}`]), { stdin: text })
      await start('SYS_MODULE')
      const problem = await awaitCondition(
        'the agent to say that it may not',
        async () =>
          (await lab.agents.readiness('node-2')).reasons.find((each) => each.startsWith('loading kernel modules')),
        { timeoutMs: 150_000 },
      )
      await start('nothing')
      await lab.agents.awaitReady('node-2')
      const loaded = /^ip_vs_sh /m.test(await host.run({ argv: ['lsmod'] }))
      await startAgain('node-2')
      await lab.agents.awaitReady('node-2')
      return loaded && /ip_vs_sh.*not permitted/.test(problem)
    },
  }

  test.each(Object.entries(proofs))('%s', async (_, proof) => expect(await proof()).toBe(true), 400_000)

  test('there is a proof for each that a manifest has', async () => {
    const found: string[] = []
    for (const kind of kinds) {
      const { container } = kind === 'node' ? (await loadingModules()).template : await manifestOf(lab, kind)
      const more = (container.securityContext.capabilities?.add ?? []).filter((each) => each !== 'NET_ADMIN')
      found.push(...more.map((each) => `${kind} ${each}`))
    }
    expect(found.toSorted()).toEqual(Object.keys(proofs).toSorted())
  })

  test.each(['gateway-0', 'router-1', 'node-1'])('without NET_ADMIN %s ends and says why', async (name) => {
    const said = listen(name)
    await startAgain(name, without('NET_ADMIN'))
    await awaitCondition(`${name} to end`, () => (lab.agents.pid(name) === undefined ? true : undefined), {
      timeoutMs: 60_000,
    })
    expect(said()).toMatch(/not permitted: expected CAP_NET_ADMIN/)
    await startAgain(name)
    await lab.agents.awaitReady(name)
  })
})

test('with the component wireguard-go, a gateway of the image carries its tunnel in userspace', async () => {
  const component = parse(ours('deploy/components/wireguard-go/kustomization.yaml')) as { patches: [{ patch: string }] }
  const { spec: added } = (parse(component.patches[0].patch) as { spec: { template: { spec: PodSpec } } }).spec.template
  await lab.agents.kill('gateway-2')
  await lab.exec('gateway-2', ['ip', 'link', 'del', 'wg0'])
  // This kernel has WireGuard: an earlier tunnel in userspace is what an agent goes on with all the same.
  await lab.exec('gateway-2', ['ip', 'tuntap', 'add', 'dev', 'wg0', 'mode', 'tun'])
  await startAgain('gateway-2', (template) => {
    template.volumes.push(...added.volumes)
    template.container.volumeMounts.push(...(added.containers[0]?.volumeMounts ?? []))
    return template
  })
  await lab.agents.awaitReady('gateway-2')
  const { body } = await lab.request('gateway-2', { port: 9801, path: '/v1/tunnel' })
  expect(JSON.parse(body)).toMatchObject({ state: 'up', implementation: 'userspace' })
  const inbound = await lab.inbound('provider-2')
  expect(inbound.seenBy).toBe(inbound.gateway)
})

test('told to end, an agent hears it through tini and ends in order', async () => {
  const { config } = imageOf('gateway')
  const said = listen('gateway-1')
  await lab.agents.stop('gateway-1', { signal: config.StopSignal })
  expect(said()).toContain('"msg":"stopping"')
})
