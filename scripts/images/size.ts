/** How much an image adds to its base, and what of that is large. */
import { lstatSync, readdirSync, type Stats } from 'node:fs'
import { dirname, join } from 'node:path'

export interface Added {
  /** Bytes of all files that the base has not, or has otherwise; a file with several names counts once. */
  bytes: number
  /** The largest among them, the largest first: files, and as a whole the directories of the agent itself. */
  largest: { path: string; bytes: number }[]
  /** Every one of them, sorted. */
  paths: string[]
}

/** Directory whose contents are one thing to whoever asks what is large. */
const whole = '/usr/lib/vpn-gateway'

/** Compares two root file systems. */
export function added(base: string, image: string): Added {
  const sizes = new Map<string, number>()
  const paths: string[] = []
  const inodes = new Set<number>()
  for (const [path, { size, ino, mtimeMs }] of filesIn(image)) {
    if (inodes.has(ino)) continue
    inodes.add(ino)
    const before = lstatSync(join(base, path), { throwIfNoEntry: false })
    if (before?.isFile() && before.size === size && before.mtimeMs === mtimeMs) continue
    paths.push(path)
    const name = path.startsWith(`${whole}/`) && dirname(path) !== whole ? `${whole}/${path.split('/')[4]}` : path
    sizes.set(name, (sizes.get(name) ?? 0) + size)
  }
  const largest = [...sizes].map(([path, bytes]) => ({ path, bytes })).toSorted((a, b) => b.bytes - a.bytes)
  return {
    bytes: largest.reduce((sum, { bytes }) => sum + bytes, 0),
    largest: largest.slice(0, 5),
    paths: paths.sort(),
  }
}

/** All regular files below a directory, each with its path from there. */
function* filesIn(root: string, directory = '/'): Generator<[path: string, stats: Stats]> {
  for (const name of readdirSync(join(root, directory))) {
    const path = join(directory, name)
    const stats = lstatSync(join(root, path))
    if (stats.isDirectory()) yield* filesIn(root, path)
    else if (stats.isFile()) yield [path, stats]
  }
}

/** A table of images, as Markdown. */
export function sizeTable(images: readonly ({ image: string } & Added)[]): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)
  return [
    '| image | MB over its base | the largest of that |',
    '|---|---:|---|',
    ...images.map(({ image, bytes, largest }) => {
      const parts = largest.map((each) => `${each.path.split('/').at(-1)} ${megabytes(each.bytes)}`)
      return `| ${image} | ${megabytes(bytes)} | ${parts.join(', ')} |`
    }),
  ].join('\n')
}
