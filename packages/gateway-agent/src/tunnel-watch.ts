import type { Component, Log } from '@vpn-gateway/runtime'
import { watch, type FSWatcher } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Tells of changes in the directory of the tunnel files: kubelet replaces a mounted secret by renaming a link there. Where
 * watching fails, as with a directory that is gone, the reconcile loop's next full pass reads the files.
 */
export function createTunnelWatch(path: string, onChange: () => void, log: Log): Component {
  let watcher: FSWatcher | undefined
  return {
    name: 'tunnel-watch',
    async start() {
      try {
        watcher = watch(dirname(path), { persistent: false }, onChange)
        watcher.on('error', (error) => log.warn({ error: error.message }, 'tunnel files are not watched any more'))
      } catch (error) {
        log.warn({ error: error instanceof Error ? error.message : String(error) }, 'tunnel files are not watched')
      }
    },
    async stop() {
      watcher?.close()
    },
  }
}
