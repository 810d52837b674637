/** Changes files that agents read while they run. */
import { readFile, rename, stat, writeFile } from 'node:fs/promises'

/** Changes a file whole at once, as a mounted ConfigMap or Secret is; resolves to what it held before. */
export async function replaceFile(path: string, change: (text: string) => string): Promise<string> {
  const before = await readFile(path, 'utf8')
  const next = `${path}.next`
  await writeFile(next, change(before), { mode: (await stat(path)).mode & 0o777 })
  await rename(next, path)
  return before
}
