/** What is in an image, as lists for people (licences) and for scanners (CycloneDX). */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NpmPackage } from './bundled.ts'

export interface DebianPackage {
  name: string
  version: string
  architecture: string
  /** Short names of licences as the package's copyright file has them; empty where it is not in machine-readable form. */
  licenses: string[]
}

/** Fields of one paragraph of a Debian control file; a field's further lines begin with a blank. */
function fields(paragraph: string): Map<string, string> {
  return new Map([...paragraph.matchAll(/^([^\s:]+):[ \t]*(.*)$/gm)].map(([, key = '', value = '']) => [key, value]))
}

/** Licences that a copyright file in Debian's machine-readable form (DEP 5) names, sorted. */
function parseLicenses(copyright: string): string[] {
  if (!/^Format: *https?:\/\/\S*copyright-format/m.test(copyright)) return []
  const names = [...copyright.matchAll(/^License:[ \t]*(\S.*)$/gm)].map(([, name = '']) => name.trim())
  return [...new Set(names)].sort()
}

/** Installed packages in dpkg's status file, with the licences that `copyrightOf` finds. */
function parseStatus(status: string, copyrightOf: (name: string) => string): DebianPackage[] {
  return status
    .split(/\n\n+/)
    .map(fields)
    .filter((paragraph) => paragraph.get('Status')?.endsWith(' installed') === true)
    .map((paragraph) => {
      const name = paragraph.get('Package') ?? ''
      return {
        name,
        version: paragraph.get('Version') ?? '',
        architecture: paragraph.get('Architecture') ?? '',
        licenses: parseLicenses(copyrightOf(name)),
      }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Debian packages in a root file system. */
export function debianPackages(root: string): DebianPackage[] {
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')
  return parseStatus(read(join(root, 'var/lib/dpkg/status')), (name) =>
    read(join(root, 'usr/share/doc', name, 'copyright')),
  )
}

export interface Contents {
  image: string
  version: string
  /** Version of the Node in the base, as in 24.21.0. */
  node: string
  /** Debian's code name, as in trixie. */
  release: string
  debian: readonly DebianPackage[]
  npm: readonly NpmPackage[]
  /** Seconds since 1970 that the image is dated with. */
  epoch: number
}

const named = (licenses: readonly string[]) =>
  licenses.length === 0 ? {} : { licenses: licenses.map((name) => ({ license: { name } })) }

/** CycloneDX 1.6; the same contents give the same text. */
export function sbom({ image, version, node, release, debian, npm, epoch }: Contents): string {
  const components = [
    {
      type: 'application',
      name: 'node',
      version: node,
      purl: `pkg:generic/node@${node}`,
      licenses: [{ license: { id: 'MIT' } }],
    },
    ...npm.map((each) => ({
      type: 'library',
      name: each.name,
      version: each.version,
      purl: `pkg:npm/${each.name.replace('@', '%40')}@${each.version}`,
      licenses: [{ expression: each.license }],
    })),
    ...debian.map((each) => ({
      type: 'library',
      name: each.name,
      version: each.version,
      purl: `pkg:deb/debian/${encodeURIComponent(each.name)}@${encodeURIComponent(each.version)}?arch=${each.architecture}&distro=${release}`,
      ...named(each.licenses),
    })),
  ].map((component) => ({ 'bom-ref': component.purl, ...component }))
  const digest = createHash('sha256')
    .update(JSON.stringify([image, version, components]))
    .digest('hex')
  const uuid = [8, 4, 4, 4, 12].map((_, index, sizes) => {
    const from = sizes.slice(0, index).reduce((sum, size) => sum + size, 0)
    return digest.slice(from, from + (sizes[index] ?? 0))
  })
  return `${JSON.stringify(
    {
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      serialNumber: `urn:uuid:${uuid.join('-')}`,
      version: 1,
      metadata: {
        timestamp: new Date(epoch * 1000).toISOString(),
        component: { type: 'container', 'bom-ref': image, name: image, version },
      },
      components,
    },
    undefined,
    2,
  )}\n`
}

/** One line for each package: kind, name, version, licences. */
export function licenseList({ node, debian, npm }: Contents): string {
  const lines = [
    ['node', 'node', node, 'MIT'],
    ...npm.map(({ name, version, license }) => ['npm', name, version, license]),
    ...debian.map(({ name, version, licenses }) => [
      'debian',
      name,
      version,
      licenses.length > 0 ? licenses.join(', ') : `see /usr/share/doc/${name}/copyright`,
    ]),
  ]
  return lines.map((line) => `${line.join('\t')}\n`).join('')
}
