/** Agents as containers: an image's root file system and the manifests' settings, run by crun. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UserError } from '@vpn-gateway/config'
import { LAB_DIR, repositoryRoot, runDirectory } from '../paths.ts'
import { namespacePath } from '../topology/namespace.ts'
import { tunnelFile } from '../topology/provider.ts'
import type { Topology } from '../topology/topology.ts'
import { type PodTemplate, readPodTemplate } from './pod-template.ts'
import { type ImageConfig, runtimeConfig } from './runtime-config.ts'
import type { SeccompProfile } from './seccomp.ts'

type Kind = 'gateway' | 'router' | 'node'

/** containers-common's, which is the default of buildah and podman and all but that of containerd. */
const seccompFile = '/usr/share/containers/seccomp.json'

const directoryOf = (name: string): string => join(LAB_DIR, 'container', name)
const pidFile = (name: string): string => join(directoryOf(name), 'pid')

/** Changes the settings that the manifests have, for what a test wants to see fail. */
export type Change = (template: PodTemplate) => PodTemplate

/**
 * Writes what crun needs to run the agent `name`: settings from `deploy/`, program and libraries from the image in
 * `images`. Throws a `UserError` when the images have not been unpacked there.
 */
export async function prepareContainer(
  images: string,
  topology: Topology,
  agent: { kind: Kind; name: string; systemFile: string },
  change: Change = (template) => template,
): Promise<void> {
  const { kind, name, systemFile } = agent
  const template = change(await readPodTemplate(manifestsOf(topology), kind))
  const image = await readFile(join(images, kind, 'image.json'), 'utf8').catch(() => {
    throw new UserError(
      `--images: ${images}: no image of the ${kind} agent: expected what npm run images -- --unpack wrote`,
    )
  })
  const directory = directoryOf(name)
  for (const each of ['upper', 'work', 'root', 'tunnels']) await mkdir(join(directory, each), { recursive: true })
  if (kind === 'gateway') {
    const secret = await readFile(tunnelFile(name))
    await writeFile(join(directory, `tunnels/${name}.conf`), secret, { mode: 0o400 })
  }
  // As the kubelet does.
  for (const { hostPath } of template.volumes)
    if (hostPath?.type === 'DirectoryOrCreate') await mkdir(hostPath.path, { recursive: true })
  // What the lab itself puts and reads there is in the agent's run directory, also without an image.
  const emptyDirectory = (volume: string): string =>
    volume === 'run' ? runDirectory(name) : join(directory, 'empty', volume)
  for (const volume of template.volumes) {
    if (volume.emptyDir !== undefined) await mkdir(emptyDirectory(volume.name), { recursive: true })
  }
  const sources = Object.fromEntries(
    template.volumes.map((volume): [string, string] => {
      if (volume.emptyDir !== undefined) return [volume.name, emptyDirectory(volume.name)]
      if (volume.configMap !== undefined) return [volume.name, dirname(systemFile)]
      if (volume.secret !== undefined) return [volume.name, join(directory, 'tunnels')]
      if (volume.hostPath !== undefined) return [volume.name, volume.hostPath.path]
      throw new Error(`volume ${volume.name}: the lab does not know its kind`)
    }),
  )
  const config = runtimeConfig({
    template,
    image: (JSON.parse(image) as { config: ImageConfig }).config,
    name,
    root: join(directory, 'root'),
    networkNamespace: namespacePath(name),
    volumes: sources,
    seccomp: JSON.parse(await readFile(seccompFile, 'utf8')) as SeccompProfile,
  })
  await writeFile(join(directory, 'config.json'), JSON.stringify(config, undefined, 2))
}

/** The pod template that a lab's agents of one kind run by. */
export function manifestOf({ topology }: { topology: Topology }, kind: Kind): Promise<PodTemplate> {
  return readPodTemplate(manifestsOf(topology), kind)
}

const manifestsOf = ({ variant }: Topology): string =>
  join(repositoryRoot(), 'deploy', variant === 'full' ? 'base' : 'overlays/single-gateway')

/** crun looks for a cgroup file system even if told to use none, and `ip netns exec` mounts a /sys that has none. */
const mountCgroups = 'mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup'

/**
 * Command line that runs a prepared container, in the foreground and in its namespace. The mounts are in a mount namespace
 * that `ip netns exec` made, so they end with the container.
 */
export function containerArgv(images: string, kind: Kind, name: string): string[] {
  const directory = directoryOf(name)
  const layers = `lowerdir=${join(images, kind, 'root')},upperdir=${directory}/upper,workdir=${directory}/work`
  const script = `mkdir -p "$4"
mount -t overlay -o "$1" overlay "$2/root"
${mountCgroups}
crun delete --force "$3" 2>/dev/null || :
exec crun --cgroup-manager=disabled run --bundle "$2" --pid-file "$2/pid" "$3"`
  return ['sh', '-euc', script, 'sh', layers, directory, name, runDirectory(name)]
}

/** Process id of a container's first process, on the machine; `undefined` when it was never started. */
export function containerPid(name: string): number | undefined {
  try {
    return Number(readFileSync(pidFile(name), 'utf8'))
  } catch {
    return undefined
  }
}

/** Command line, for the pod's namespace, that runs a program inside a container with the container's own capabilities. */
export function inContainer(name: string, argv: readonly string[]): string[] {
  const script = `${mountCgroups}\nexec crun --cgroup-manager=disabled exec "$@"`
  return ['sh', '-euc', script, 'sh', name, ...argv]
}
