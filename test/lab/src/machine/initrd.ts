/** The initial RAM disk: busybox, a handful of modules, and the script that mounts the real root. */
import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { execa } from 'execa'
import { BOOT_MODULES, loadOrder } from './kernel-modules.ts'

const INIT = new URL('guest/init.sh', import.meta.url)

/** The program that turns a compressed module into a plain one, by the file's ending. */
function decompressor(path: string): string | undefined {
  if (path.endsWith('.xz')) return 'xz'
  if (path.endsWith('.zst')) return 'zstd'
  if (path.endsWith('.gz')) return 'gzip'
  return undefined
}

/**
 * Writes the RAM disk for the modules at `modules` into `directory` and resolves to its path. The name carries a hash
 * of what goes in, so a changed script makes a new one and an unchanged one is found again.
 */
export async function writeInitrd(directory: string, modules: string): Promise<string> {
  const init = await readFile(INIT, 'utf8')
  const hash = createHash('sha256').update(init).update(BOOT_MODULES.join()).digest('hex').slice(0, 12)
  const target = join(directory, `initrd-${hash}.gz`)
  if (await stat(target).catch(() => undefined)) return target

  const work = await mkdtemp(join(directory, '.initrd-'))
  try {
    const tree = join(work, 'tree')
    for (const name of ['bin', 'proc', 'sys', 'dev', 'lower', 'upper', 'root', 'modules']) {
      await mkdir(join(tree, name), { recursive: true })
    }
    await copyFile('/bin/busybox', join(tree, 'bin/busybox'))
    await chmod(join(tree, 'bin/busybox'), 0o755)
    await writeFile(join(tree, 'init'), init, { mode: 0o755 })
    const order = loadOrder(
      BOOT_MODULES,
      await readFile(join(modules, 'modules.dep'), 'utf8'),
      await readFile(join(modules, 'modules.builtin'), 'utf8'),
    )
    for (const [index, path] of order.entries()) {
      const name = `${String(index).padStart(2, '0')}-${basename(path).replace(/\.ko\..*$/, '.ko')}`
      const program = decompressor(path)
      if (program === undefined) await copyFile(join(modules, path), join(tree, 'modules', name))
      else {
        const { stdout } = await execa(program, ['-dc', join(modules, path)], { encoding: 'buffer' })
        await writeFile(join(tree, 'modules', name), stdout)
      }
    }
    const packed = join(work, 'initrd')
    await execa('sh', ['-c', 'find . | cpio -o -H newc --quiet | gzip -1 >"$1"', 'sh', packed], { cwd: tree })
    await rename(packed, target)
    return target
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
