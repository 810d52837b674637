/** How long agents take until they are known to live: the programs of the images, on a kernel and in namespaces of their own. */
import { spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createRunner } from '@vpn-gateway/kernel'
import { defaultSystemFile } from '@vpn-gateway/lab'
import { ensureImages, imagesDirectory } from '@vpn-gateway/lab/machine/images.ts'
import { ownStart } from './agent-process.ts'
import { startAnswering } from './answering.ts'
import type { Benchmark, Figure, Say } from './benchmark.ts'
import { readImage } from './image.ts'
import { median, worst } from './statistics.ts'

const port = 9801
/** Where the manifests put the system file. */
const systemFile = '/etc/vpn-gateway/vpn-gateway.yaml'
/** What each agent cannot do without; the interfaces need not be there for it to say that it lives. */
const agents = {
  gateway: ['--interface', 'net1', '--primary', 'eth0', '--tunnel', '/run/tunnel.conf'],
  router: ['--interface', 'net1', '--router-interface', 'net2'],
  node: [],
} as const satisfies Record<string, readonly string[]>
/** Milliseconds that an agent may take on an idle machine. */
const promised = 300

export const startBenchmark: Benchmark = {
  title: 'Start: from the process to the first answer',
  prepare: ensureImages,
  async run(say, { rounds = 21 }) {
    const images = process.env['VPN_GATEWAY_IMAGES'] ?? imagesDirectory()
    const runner = createRunner()
    await runner.run({ argv: ['ip', 'link', 'set', 'lo', 'up'] })
    const directory = await mkdtemp(join(tmpdir(), 'bench-start-'))
    // What is written is in memory, and gone with this benchmark's mount namespace.
    await runner.run({ argv: ['mount', '-t', 'tmpfs', 'bench', directory] })
    try {
      const figures: Figure[] = []
      for (const [kind, options] of Object.entries(agents)) {
        const root = join(directory, kind, 'root')
        for (const each of ['upper', 'work', 'root']) await mkdir(join(directory, kind, each), { recursive: true })
        const layers = `lowerdir=${join(images, kind, 'root')},upperdir=${directory}/${kind}/upper,workdir=${directory}/${kind}/work`
        await runner.run({ argv: ['mount', '-t', 'overlay', '-o', layers, 'overlay', root] })
        await runner.run({ argv: ['mount', '--rbind', '/proc', join(root, 'proc')] })
        await runner.run({ argv: ['mount', '--rbind', '/dev', join(root, 'dev')] })
        await mkdir(join(root, 'etc/vpn-gateway'), { recursive: true })
        await copyFile(defaultSystemFile('full'), join(root, systemFile))
        figures.push(...(await measure({ images, kind, root, options }, rounds, say)))
      }
      return figures
    } finally {
      await runner.run({ argv: ['umount', '--recursive', directory] })
      await rmdir(directory)
    }
  },
}

interface Agent {
  images: string
  kind: string
  root: string
  options: readonly string[]
}

async function measure(agent: Agent, rounds: number, say: Say): Promise<Figure[]> {
  const { images, kind, root, options } = agent
  const { config } = await readImage(images, kind)
  const env = Object.fromEntries(config.Env.map((each) => each.split(/=(.*)/s).slice(0, 2)))
  // Without the init, whose own start is not to be seen: it would have to be told to end its child.
  const entrypoint = config.Entrypoint.slice(config.Entrypoint.indexOf('node'))
  const listen = ['--listen', `127.0.0.1:${port}`]
  const argv = ['chroot', root, ...entrypoint, '--config', systemFile, '--name', 'bench', ...listen, ...options]
  const bare: number[] = []
  const starts: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    bare.push(await startOfNode(root, env))
    const started = await startAnswering(argv, env, { port, path: '/livez' })
    starts.push(started.milliseconds)
    await started.end()
  }
  say(`${kind}: ${median(starts).toFixed(0)} ms`)
  return [
    {
      figure: `${kind}: start to /livez`,
      value: median(starts),
      unit: 'ms',
      most: promised,
      method: `median of ${rounds}: from the start of the process, in the image's root file system, until somebody who kept asking was answered 200; the longest took ${worst(starts).toFixed(0)} ms`,
    },
    {
      figure: `${kind}: start to /livez, in starts of Node`,
      value: median(starts) / median(bare),
      unit: 'ratio',
      method: `the same over the median of as many starts of \`node\` in turns with them, ${median(bare).toFixed(0)} ms by its own clock`,
    },
  ]
}

async function startOfNode(root: string, env: Record<string, string>): Promise<number> {
  const child = spawn('chroot', [root, 'node', '-e', ownStart], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  return Number(await text(child.stdout))
}
