/** What a bundle is made of: its npm packages, and the licences that must travel with them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Plugin } from 'rolldown'

export interface NpmPackage {
  name: string
  version: string
  /** SPDX expression, as the package says. */
  license: string
}

/** A package that a module file is in, and where it is. */
interface Found extends NpmPackage {
  directory: string
}

function packageOf(module: string): Found | undefined {
  for (let directory = dirname(module); directory.includes('/node_modules/'); directory = dirname(directory)) {
    const file = join(directory, 'package.json')
    if (!existsSync(file)) continue
    const { name, version, license } = JSON.parse(readFileSync(file, 'utf8')) as Partial<NpmPackage>
    // Some packages have further package.json files that only say which kind of module is below them.
    if (name === undefined || version === undefined) continue
    if (typeof license !== 'string') throw new Error(`${name}@${version}: expected a license in ${file}`)
    return { name, version, license, directory }
  }
  return undefined
}

function licenceText({ directory, name, version, license }: Found): string {
  const files = readdirSync(directory).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
  const texts = files.map((file) => readFileSync(join(directory, file), 'utf8').trim())
  return [
    `== ${name} ${version} (${license})`,
    ...(texts.length > 0 ? texts : ['No licence file in the package.']),
  ].join('\n\n')
}

/** Writes `NAME.packages.json` and `NAME.licenses.txt` beside each bundle, of what really got into it. */
export function bundledPackages(): Plugin {
  return {
    name: 'bundled-packages',
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk' || !chunk.isEntry) continue
        const used = Object.entries(chunk.modules).filter(([, { renderedLength }]) => renderedLength > 0)
        const found = new Map<string, Found>()
        for (const [module] of used) {
          const it = packageOf(module)
          if (it) found.set(`${it.name}@${it.version}`, it)
        }
        const sorted = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
        const packages = sorted.map(({ name, version, license }): NpmPackage => ({ name, version, license }))
        this.emitFile({
          type: 'asset',
          fileName: `${chunk.name}.packages.json`,
          source: `${JSON.stringify(packages, undefined, 2)}\n`,
        })
        this.emitFile({
          type: 'asset',
          fileName: `${chunk.name}.licenses.txt`,
          source: `${sorted.map(licenceText).join('\n\n\n')}\n`,
        })
      }
    },
  }
}
