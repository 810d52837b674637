/** What `npm run images -- --unpack` wrote beside the root file system of an image, as far as benchmarks look at it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Image {
  config: { Entrypoint: string[]; Env: string[] }
  /** Files that the base has not or has otherwise. */
  overBase: { bytes: number; largest: { path: string; bytes: number }[] }
}

/** Reads it of one of the unpacked images; rejects where there is none. */
export async function readImage(images: string, kind: string): Promise<Image> {
  return JSON.parse(await readFile(join(images, kind, 'image.json'), 'utf8')) as Image
}
