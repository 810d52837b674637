/**
 * npm run images [-- --base IMAGE] [--builder buildah|podman|docker] [--tag TAG] [--unpack DIR] [--newer | --lock]
 *                [gateway|router|node]...
 * Builds the agents' images and lists what is in them. The base is an image with Debian and Node; where it is neither here
 * nor to be had from a registry, it is made from the distribution's packages and the Node that runs this.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { findBase } from './images/base.ts'
import {
  build,
  type Builder,
  builders,
  exportRoot,
  findBuilder,
  hasImage,
  inspectImage,
  run,
  works,
} from './images/builder.ts'
import type { NpmPackage } from './images/bundled.ts'
import { repository, wrong } from './images/fail.ts'
import { type Contents, debianPackages, licenseList, sbom } from './images/inventory.ts'
import { scratchDirectory } from './images/scratch.ts'
import { type Added, added, sizeTable } from './images/size.ts'

const agents = ['gateway', 'router', 'node']

const usage = `usage: npm run images [-- OPTION...] [gateway|router|node]...

Builds the images (all three unless named) and lists what is in them in dist/images/AGENT-agent.{cdx.json,licenses.txt},
or beside what --unpack writes: what belongs to a release is not replaced by what a test builds.

  --base IMAGE      image with Debian and Node to build on (default node:24.21.0-trixie-slim)
  --builder NAME    buildah, podman or docker (default: the first of these that works)
  --tag TAG         tag of the images (default: the version)
  --unpack DIR      write each image's root file system to DIR/AGENT/root, and how it is run to DIR/AGENT/image.json
  --newer           take today's versions of Debian's packages, not those in images/AGENT/packages.lock
  --lock            the same, and write these versions to images/AGENT/packages.lock`

const { values, positionals } = options()
const builder = (values.builder as Builder | undefined) ?? findBuilder()
if (builder === undefined) wrong(`none of ${builders.join(', ')} works here: with Debian, apt-get install buildah`)
const version = (JSON.parse(read('package.json')) as { version: string }).version
const tag = values.tag ?? version
const chosen = positionals.length > 0 ? positionals : agents
/** Files get the commit's time, so that the same commit gives the same layers. */
const epoch = process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? '0'

run('bundling the agents', join(repository, 'node_modules/.bin/rolldown'), ['-c', 'rolldown.config.ts'])
const base = baseOf(builder)
const scratch = scratchDirectory()
const baseRoot = join(scratch, 'base')
exportRoot(builder, base, baseRoot)
const built = chosen.map((agent) => buildAgent(builder, agent))
console.log(`made from ${base} with ${builder}\n\n${sizeTable(built)}`)

function baseOf(with_: Builder): string {
  const named = values.base
  if (named === undefined) return findBase(with_, epoch)
  if (!hasImage(with_, named))
    wrong(`--base: ${named}: neither here nor to be had: expected an image with Debian and Node`)
  return named
}

function buildAgent(with_: Builder, agent: string): { image: string } & Added {
  const image = `vpn-gateway/${agent}-agent:${tag}`
  const newer = values.newer === true || values.lock === true
  build(with_, image, {
    context: '.',
    file: `images/${agent}/Containerfile`,
    epoch,
    arguments: { BASE: base, VERSION: tag, REVISION: revision(), ...(newer ? { NEWER: 'yes' } : {}) },
  })
  const { config, digest } = inspectImage(with_, image)
  // npm starts this at the repository's root; a path that the user typed is relative to where they typed it.
  const unpack = values.unpack === undefined ? scratch : resolve(process.env['INIT_CWD'] ?? '.', values.unpack)
  const directory = join(unpack, agent)
  const root = join(directory, 'root')
  exportRoot(with_, image, root)
  const overBase = added(baseRoot, root)
  writeFileSync(join(directory, 'image.json'), `${JSON.stringify({ image, digest, config, overBase }, undefined, 2)}\n`)
  const contents = contentsOf(image, agent, root)
  const lists = values.unpack === undefined ? join(repository, 'dist/images') : directory
  mkdirSync(lists, { recursive: true })
  writeFileSync(join(lists, `${agent}-agent.cdx.json`), sbom(contents))
  writeFileSync(join(lists, `${agent}-agent.licenses.txt`), licenseList(contents))
  if (values.lock === true) writeLock(agent, root)
  console.log(
    `  ${image} ${digest.slice(0, 12)}: ${contents.debian.length} Debian, ${contents.npm.length} npm packages`,
  )
  return { image, ...overBase }
}

function contentsOf(image: string, agent: string, root: string): Contents {
  const release = /^VERSION_CODENAME=(\S+)$/m.exec(readFileSync(join(root, 'etc/os-release'), 'utf8'))?.[1] ?? ''
  return {
    image: image.replace(/:[^:]*$/, ''),
    version: tag,
    node: nodeVersion(root),
    release,
    debian: debianPackages(root),
    npm: npmPackages(`${agent}-agent`, 'vpn-gateway'),
    epoch: Number(epoch),
  }
}

function nodeVersion(root: string): string {
  try {
    return execFileSync(join(root, 'usr/local/bin/node'), ['--version'], { encoding: 'utf8' }).trim().slice(1)
  } catch {
    return wrong(`--base: ${base}: expected Node in /usr/local/bin, for this machine's processor`)
  }
}

/** The npm packages in bundles, each once. */
function npmPackages(...bundles: string[]): NpmPackage[] {
  const all = bundles.flatMap((name) => JSON.parse(read(`dist/${name}.packages.json`)) as NpmPackage[])
  const byName = new Map(all.map((each) => [`${each.name}@${each.version}`, each]))
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function writeLock(agent: string, root: string): void {
  const path = 'usr/share/vpn-gateway/packages.lock'
  const now = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const head = `# Made by npm run images -- --lock from images/${agent}/packages.\n# snapshot ${now}\n`
  writeFileSync(join(repository, `images/${agent}/packages.lock`), `${head}${readFileSync(join(root, path), 'utf8')}`)
}

function options() {
  try {
    const parsed = parseArgs({
      allowPositionals: true,
      options: {
        base: { type: 'string' },
        builder: { type: 'string' },
        tag: { type: 'string' },
        unpack: { type: 'string' },
        newer: { type: 'boolean' },
        lock: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    if (parsed.values.help === true) {
      console.log(usage)
      process.exit(0)
    }
    for (const name of parsed.positionals) if (!agents.includes(name)) wrong(`${name}: expected ${agents.join(', ')}`)
    const named = parsed.values.builder
    if (named !== undefined && !(builders as readonly string[]).includes(named)) {
      wrong(`--builder: ${named}: expected ${builders.join(', ')}`)
    }
    if (named !== undefined && !works(named, '--version')) wrong(`--builder: ${named}: is not installed`)
    return parsed
  } catch (error) {
    return wrong((error as Error).message)
  }
}

function read(path: string): string {
  return readFileSync(join(repository, path), 'utf8')
}

function revision(): string {
  const commit = git('rev-parse', 'HEAD')
  return commit === undefined ? 'unknown' : `${commit}${git('status', '--porcelain') === '' ? '' : '-changed'}`
}

/** What git says of this repository; undefined for one unpacked from an archive or owned by somebody else, and without git. */
function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: repository, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}
