/**
 * npm run images [-- --base IMAGE] [--builder buildah|podman|docker] [--tag TAG] [gateway|router|node]...
 * Builds the agents' images. The base is an image with Debian and Node; where it is neither here nor to be had from a
 * registry, it is made from the distribution's packages and the Node that runs this.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const root = new URL('..', import.meta.url).pathname
const agents = ['gateway', 'router', 'node']
const builders = ['buildah', 'podman', 'docker']
const defaultBase = 'node:24-trixie-slim'
/** The Debian release that the default base has. */
const release = 'trixie'

const { values, positionals } = options()
const builder = values.builder ?? builders.find((name) => works(name, '--version'))
if (builder === undefined) wrong(`none of ${builders.join(', ')} is installed: with Debian, apt-get install buildah`)
const tag = values.tag ?? (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
const chosen = positionals.length > 0 ? positionals : agents

run('bundling the agents', join(root, 'node_modules/.bin/rolldown'), ['-c', 'rolldown.config.ts'])
const base = values.base ?? findBase()
for (const agent of chosen) {
  const given = { BASE: base, VERSION: tag, REVISION: revision() }
  const buildArguments = Object.entries(given).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`])
  const file = `images/${agent}/Containerfile`
  run(`building ${nameOf(agent)}`, builder, build().concat(buildArguments, '--file', file, '--tag', nameOf(agent), '.'))
}
console.log(`made from ${base} with ${builder}: ${chosen.map(nameOf).join(', ')}`)

function options() {
  try {
    const parsed = parseArgs({
      allowPositionals: true,
      options: { base: { type: 'string' }, builder: { type: 'string' }, tag: { type: 'string' } },
    })
    for (const name of parsed.positionals) if (!agents.includes(name)) wrong(`${name}: expected ${agents.join(', ')}`)
    const named = parsed.values.builder
    if (named !== undefined && !builders.includes(named)) wrong(`--builder: ${named}: expected ${builders.join(', ')}`)
    return parsed
  } catch (error) {
    return wrong((error as Error).message)
  }
}

function nameOf(agent: string): string {
  return `vpn-gateway/${agent}-agent:${tag}`
}

/** Isolation by chroot asks for no cgroup, bridge or further namespace; only buildah has it. */
function build(): string[] {
  return builder === 'buildah' ? ['build', '--isolation', 'chroot', '--timestamp', commitTime()] : ['build']
}

/** Files get the commit's time, so that the same commit gives the same layers. */
function commitTime(): string {
  return git(['log', '-1', '--format=%ct'])
}

function revision(): string {
  const changed = git(['status', '--porcelain']) !== ''
  return `${git(['rev-parse', 'HEAD'])}${changed ? '-changed' : ''}`
}

function git(args: string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
}

function findBase(): string {
  const tool = builder ?? ''
  const inspect = tool === 'buildah' ? ['inspect', '--type', 'image'] : ['image', 'inspect']
  if (works(tool, ...inspect, defaultBase)) return defaultBase
  console.log(`getting ${defaultBase}`)
  if (works(tool, 'pull', defaultBase)) return defaultBase
  return makeBase()
}

/** Debian's smallest system and this Node, under the name that the Containerfiles expect. */
function makeBase(): string {
  const name = `localhost/${defaultBase}`
  if (!works('mmdebstrap', '--version')) {
    wrong(`no ${defaultBase} to be had and no mmdebstrap to make it with: --base IMAGE, or apt-get install mmdebstrap`)
  }
  const directory = mkdtempSync(join(tmpdir(), 'vpn-gateway-base-'))
  try {
    const excluded = readFileSync(join(root, 'images/dpkg.cfg'), 'utf8').match(/^path-.*$/gm) ?? []
    run(
      `making ${name} from Debian's packages`,
      'mmdebstrap',
      ['--quiet', '--variant=minbase', '--include=ca-certificates'].concat(
        excluded.map((line) => `--dpkgopt=${line}`),
        release,
        join(directory, 'debian.tar'),
      ),
    )
    mkdirSync(join(directory, 'bin'))
    copyFileSync(process.execPath, join(directory, 'bin/node'))
    writeFileSync(
      join(directory, 'Containerfile'),
      'FROM scratch\nADD debian.tar /\nCOPY bin/node /usr/local/bin/node\n' +
        'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["node"]\n',
    )
    run(`importing ${name}`, builder ?? '', [...build(), '--tag', name, directory])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  return name
}

/** Runs a program at the repository's root and says only what it does, unless it fails. */
function run(what: string, program: string, args: string[]): void {
  console.log(what)
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  if (status === 0) return
  console.error(`${stdout}${stderr}${error?.message ?? ''}`)
  console.error(`images: ${what}: ${program} ended with ${status}`)
  process.exit(1)
}

function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore', timeout: 300_000 }).status === 0
}

function wrong(problem: string): never {
  console.error(`images: ${problem}`)
  process.exit(2)
}
