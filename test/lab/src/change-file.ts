/** Changes files that agents read while they run. */
import { readFile, stat } from 'node:fs/promises'
import { replaceFile } from '@vpn-gateway/runtime'

/** Changes a file whole at once, as a mounted ConfigMap or Secret is; resolves to what it held before. */
export async function changeFile(path: string, change: (text: string) => string): Promise<string> {
  const before = await readFile(path, 'utf8')
  await replaceFile(path, change(before), { mode: (await stat(path)).mode & 0o777 })
  return before
}
