/** The program that builds images, whichever of the three is there. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { fail, repository } from './fail.ts'

export const builders = ['buildah', 'podman', 'docker'] as const
export type Builder = (typeof builders)[number]

/** What an image says of how it is run. */
export interface ImageConfig {
  Entrypoint: string[]
  Env: string[]
  StopSignal: string
  Labels: Record<string, string>
}

/** Runs a program at the repository's root and says only what it does, unless it fails. */
export function run(what: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  console.log(what)
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: repository,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...env },
  })
  if (status !== 0) {
    fail(`${stdout}${stderr}${error?.message ?? ''}\nimages: ${what}: ${program} ended with ${status}`)
  }
}

/** Whether a program can be run and ends with 0. */
export function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore', timeout: 300_000 }).status === 0
}

/** The first of the three that can build here: docker's program is of no use where its daemon does not answer. */
export function findBuilder(): Builder | undefined {
  return builders.find((name) => works(name, name === 'docker' ? 'version' : '--version'))
}

/** Whether the builder has an image, here or from a registry. */
export function hasImage(builder: Builder, image: string): boolean {
  const inspect = builder === 'buildah' ? ['inspect', '--type', 'image'] : ['image', 'inspect']
  return works(builder, ...inspect, image) || works(builder, 'pull', image)
}

/**
 * Builds `image`. All files get the time `epoch`, in seconds since 1970, as far as the builder can: buildah does that for
 * everything, docker for what BuildKit knows of, so that with buildah the same input gives the same digest.
 */
export function build(
  builder: Builder,
  image: string,
  given: { context: string; file: string; epoch: string; arguments: Record<string, string> },
): void {
  // Isolation by chroot asks for no cgroup, bridge or further namespace; only buildah has it.
  const own = {
    buildah: ['build', '--isolation', 'chroot', '--timestamp', given.epoch],
    podman: ['build', '--timestamp', given.epoch],
    docker: ['build'],
  }[builder]
  const values = Object.entries(given.arguments).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`])
  run(`building ${image}`, builder, [...own, ...values, '--file', given.file, '--tag', image, given.context], {
    SOURCE_DATE_EPOCH: given.epoch,
  })
}

function read(program: string, ...args: string[]): string {
  return execFileSync(program, args, { cwd: repository, encoding: 'utf8' }).trim()
}

/** How an image is run, and the digest that names exactly it. */
export function inspectImage(builder: Builder, image: string): { config: ImageConfig; digest: string } {
  if (builder === 'buildah') {
    const { OCIv1, FromImageID } = JSON.parse(read('buildah', 'inspect', '--type', 'image', image)) as {
      OCIv1: { config: ImageConfig }
      FromImageID: string
    }
    return { config: OCIv1.config, digest: FromImageID }
  }
  const [found] = JSON.parse(read(builder, 'image', 'inspect', image)) as { Config: ImageConfig; Id: string }[]
  if (found === undefined) return fail(`images: ${image}: the builder does not know it`)
  return { config: found.Config, digest: found.Id.replace(/^sha256:/, '') }
}

/** Writes an image's root file system into a new directory. */
export function exportRoot(builder: Builder, image: string, directory: string): void {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  // Without root, buildah mounts only inside its own user namespace. Files that kept their owners from there would be those
  // of subordinate ids, which this process could neither look into nor remove.
  const unshared = builder === 'buildah' && process.getuid?.() !== 0
  const script = {
    buildah: `c=$(buildah from --pull-never "$1"); trap 'buildah rm "$c" >/dev/null' EXIT
m=$(buildah mount "$c") && tar -C "$m" -c . | tar -C "$2" -x${unshared ? ' --no-same-owner' : ''}`,
    podman: `c=$(podman create "$1"); trap 'podman rm "$c" >/dev/null' EXIT; podman export "$c" | tar -C "$2" -x`,
    docker: `c=$(docker create "$1"); trap 'docker rm "$c" >/dev/null' EXIT; docker export "$c" | tar -C "$2" -x`,
  }[builder]
  const shell = ['sh', '-euc', script, 'sh', image, directory]
  const [program, ...args] = unshared ? ['buildah', 'unshare', ...shell] : shell
  run(`unpacking ${image}`, program ?? '', args)
  // The root of an image may be closed to its own owner, who then could not remove what is in it.
  chmodSync(directory, 0o755)
}
