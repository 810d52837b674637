/** The base of all images: Debian with Node. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Builder, hasImage, run, works } from './builder.ts'
import { wrong } from './fail.ts'
import { scratchDirectory } from './scratch.ts'

/** What the Containerfiles start from unless told otherwise, by the name that no builder has to guess the registry of. */
const defaultBase = 'docker.io/library/node:24.21.0-trixie-slim'
/** The Debian release that the default base has. */
const release = 'trixie'
/** What is made in its place: under another name, so that it never passes for it, and one a day, for packages change. */
const ownBase = `localhost/vpn-gateway/base:${release}-node${process.versions.node}-${new Date().toISOString().slice(0, 10)}`

/** The default base, from a registry or, where none can be reached, made here. */
export function findBase(builder: Builder, epoch: string): string {
  console.log(`looking for ${defaultBase}`)
  return [defaultBase, ownBase].find((name) => hasImage(builder, name)) ?? makeBase(builder, epoch)
}

/** Debian's smallest system and this Node. */
function makeBase(builder: Builder, epoch: string): string {
  const name = ownBase
  if (!works('mmdebstrap', '--version')) {
    wrong(`no ${defaultBase} to be had and no mmdebstrap to make it with: --base IMAGE, or apt-get install mmdebstrap`)
  }
  const directory = scratchDirectory()
  const leftOut = ['doc/*', 'info/*', 'locale/*', 'man/*'].map((path) => `--dpkgopt=path-exclude=/usr/share/${path}`)
  run(
    `making ${name} from Debian's packages`,
    'mmdebstrap',
    [
      '--quiet',
      '--variant=minbase',
      '--include=ca-certificates',
      ...leftOut,
      '--dpkgopt=path-include=/usr/share/doc/*/copyright',
      release,
      join(directory, 'debian.tar'),
    ],
    { SOURCE_DATE_EPOCH: epoch },
  )
  mkdirSync(join(directory, 'bin'))
  copyFileSync(process.execPath, join(directory, 'bin/node'))
  writeFileSync(
    join(directory, 'Containerfile'),
    'FROM scratch\nADD debian.tar /\nCOPY bin/node /usr/local/bin/node\n' +
      'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["node"]\n',
  )
  build(builder, name, { context: directory, file: join(directory, 'Containerfile'), epoch, arguments: {} })
  return name
}
