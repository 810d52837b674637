import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A directory that is filled as kubelet fills a mounted secret: files are links through `..data`, replaced in one rename. */
export async function createSecretMount(directory: string) {
  await mkdir(directory)
  let version = 0
  let names: string[] = []
  return {
    path: (name: string) => join(directory, name),
    async write(files: Readonly<Record<string, string>>): Promise<void> {
      const data = `..version-${++version}`
      await mkdir(join(directory, data))
      for (const [name, text] of Object.entries(files))
        await writeFile(join(directory, data, name), text, { mode: 0o600 })
      await symlink(data, join(directory, '..data_tmp'))
      await rename(join(directory, '..data_tmp'), join(directory, '..data'))
      const wanted = Object.keys(files)
      for (const name of wanted.filter((one) => !names.includes(one)))
        await symlink(`..data/${name}`, join(directory, name))
      for (const name of names.filter((one) => !wanted.includes(one))) await rm(join(directory, name))
      if (version > 1) await rm(join(directory, `..version-${version - 1}`), { recursive: true })
      names = wanted
    },
  }
}
