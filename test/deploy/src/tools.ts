/** Programs that judge what is deployed, from PATH or from Debian's packages, unpacked into the user's cache. */
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'

/** Programs that are packages of the same name in Debian. */
type Tool = 'promtool' | 'kustomize' | 'kubectl'

/** The release that has all of them; they need little of it, and run on others. */
const release = 'trixie'

/** Path of the program; throws an error that says what to install where it can neither be found nor fetched. */
export async function tool(name: Tool): Promise<string> {
  const found = await execa('sh', ['-c', 'command -v "$1"', 'sh', name], { reject: false })
  if (found.exitCode === 0) return found.stdout
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vpn-gateway', 'tools')
  const path = join(cache, name, 'usr/bin', name)
  if (!(await exists(path))) await fetchPackage(cache, name)
  return path
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** With lists of its own, so that any user may fetch them and the system's stay as they are. */
async function fetchPackage(cache: string, name: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, '.fetching-'))
  try {
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'root']) {
      await mkdir(join(work, part), { recursive: true })
    }
    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
    const sources = join(work, 'sources.list')
    await writeFile(sources, `deb [signed-by=${keyring}] http://deb.debian.org/debian ${release} main\n`)
    const settings = [
      `Dir::Etc::sourcelist=${sources}`,
      'Dir::Etc::sourceparts=/dev/null',
      `Dir::State=${join(work, 'state')}`,
      `Dir::Cache=${join(work, 'cache')}`,
      'Dir::State::status=/var/lib/dpkg/status',
      // apt's own user may not write into a directory of ours.
      'APT::Sandbox::User=root',
    ]
    const options = ['-q', ...settings.flatMap((setting) => ['-o', setting])]
    await execa('apt-get', [...options, 'update'])
    await execa('apt-get', [...options, 'download', name], { cwd: work })
    const file = (await readdir(work)).find((each) => each.endsWith('.deb')) ?? ''
    await execa('dpkg-deb', ['-x', join(work, file), join(work, 'root')])
    // A second process may have been as far as this: what it put there is as good.
    await rename(join(work, 'root'), join(cache, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } catch (error) {
    throw new Error(`${name} is not installed and could not be fetched: expected apt-get install ${name}`, {
      cause: error,
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
