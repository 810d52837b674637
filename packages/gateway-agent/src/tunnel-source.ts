import { UserError } from '@vpn-gateway/config'
import { readTunnelFile, type Tunnel } from './tunnel-file.ts'

/** The tunnel file over time: a mounted secret is replaced under a running agent. */
export interface TunnelSource {
  /** The last file that was valid. */
  current(): Tunnel
  /** Reads the file again and returns the last valid one. */
  reread(): Promise<Tunnel>
  /** What is wrong with the file as it is now, one line each. */
  problems(): readonly string[]
}

/** Reads the tunnel file; rejects with a `UserError` when it is wrong from the start. */
export async function openTunnelFile(path: string): Promise<TunnelSource> {
  let tunnel = await readTunnelFile(path)
  let problems: readonly string[] = []
  return {
    current: () => tunnel,
    async reread() {
      try {
        tunnel = await readTunnelFile(path)
        problems = []
      } catch (error) {
        if (!(error instanceof UserError)) throw error
        problems = error.problems
      }
      return tunnel
    },
    problems: () => problems,
  }
}
