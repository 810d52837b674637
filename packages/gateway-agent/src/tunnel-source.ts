import { UserError } from '@vpn-gateway/config'
import type { WireguardDevice } from '@vpn-gateway/kernel'
import { readdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { basename, dirname, extname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { joinEndpoint } from './endpoint.ts'
import { readTunnelFile, type Tunnel, type TunnelPeer } from './tunnel-file.ts'

/** The gateway's tunnel files over time: a mounted secret is replaced under a running agent. One of them is in use. */
export interface TunnelSource {
  /** What the file in use held when it was last valid. */
  current(): Tunnel
  /** Name of the file in use. */
  file(): string
  /** Names of all files, in the order in which they take turns. */
  files(): readonly string[]
  /** Puts the next file to use, the first after the last. */
  advance(): void
  /** Reads the files again and returns what the one in use held when it was last valid. */
  reread(): Promise<Tunnel>
  /** What is wrong with the files as they are now, one line each. */
  problems(): readonly string[]
}

/**
 * Reads the tunnel files; rejects with a `UserError` when one of them is wrong from the start. The one in use is the one
 * that `held`, the device of an earlier process, was made by, else the first. Files that go wrong later are told to `log`.
 */
export async function openTunnelFiles(
  path: string,
  held?: WireguardDevice,
  log?: { warn(fields: object, message: string): void; info(fields: object, message: string): void },
): Promise<TunnelSource> {
  const { tunnels: found, problems: wrong } = await readAll(path)
  if (wrong.length > 0) throw new UserError(wrong)
  let tunnels = found
  let problems: readonly string[] = []
  let using = (held === undefined ? undefined : madeBy(held, tunnels)) ?? path

  function current(): Tunnel {
    const tunnel = tunnels.get(using) ?? tunnels.get(path)
    if (tunnel === undefined) throw new Error(`${path}: was never read`)
    return tunnel
  }

  /** A tunnel that is up hides that its next start, or its turn, would fail. */
  function heed(wrongNow: readonly string[]): void {
    if (isDeepStrictEqual(wrongNow, problems)) return
    problems = wrongNow
    if (wrongNow.length === 0) log?.info({}, 'tunnel files are right again')
    else log?.warn({ problems: wrongNow }, 'tunnel files are wrong: going on with what they held before')
  }

  return {
    current,
    file: () => basename(using),
    files: () => [...tunnels.keys()].map((name) => basename(name)),
    advance() {
      const names = [...tunnels.keys()]
      using = names[(names.indexOf(using) + 1) % names.length] ?? path
    },
    async reread() {
      const last = tunnels
      const now = await readAll(path, last)
      tunnels = now.tunnels
      heed(now.problems)
      if (!tunnels.has(using)) using = path
      return current()
    },
    problems: () => problems,
  }
}

/** All files in their order. One that is wrong counts as what it last was; one that never was right is left out. */
async function readAll(
  path: string,
  last: ReadonlyMap<string, Tunnel> = new Map(),
): Promise<{ tunnels: Map<string, Tunnel>; problems: string[] }> {
  const tunnels = new Map<string, Tunnel>()
  const problems: string[] = []
  for (const name of [path, ...(await furtherFiles(path))]) {
    try {
      tunnels.set(name, await readTunnelFile(name))
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      problems.push(...error.problems)
      const before = last.get(name)
      if (before !== undefined) tunnels.set(name, before)
    }
  }
  return { tunnels, problems }
}

/** Beside `gateway-0.conf`: `gateway-0.1.conf`, `gateway-0.2.conf` and so on, by number. A secret has keys, no directories. */
async function furtherFiles(path: string): Promise<string[]> {
  const directory = dirname(path)
  const extension = extname(path)
  const stem = basename(path, extension)
  const names = await readdir(directory).catch(() => [])
  const numbered = names.flatMap((name) => {
    if (!name.startsWith(`${stem}.`) || extname(name) !== extension) return []
    const middle = name.slice(stem.length + 1, name.length - extension.length)
    return /^[1-9]\d{0,3}$/.test(middle) ? [{ name, number: Number(middle) }] : []
  })
  return numbered.sort((a, b) => a.number - b.number).map(({ name }) => join(directory, name))
}

/**
 * The file whose keys a device has. Providers give one pair of keys to many servers: of several files the one that names the
 * device's endpoints is meant, else one whose host names may stand for them.
 */
function madeBy(device: WireguardDevice, tunnels: ReadonlyMap<string, Tunnel>): string | undefined {
  const held = new Map(device.peers.map(({ publicKey, endpoint }) => [publicKey, endpoint]))
  const fitting = [...tunnels].filter(
    ([, { publicKey, peers }]) =>
      publicKey === device.publicKey && peers.length === held.size && peers.every((peer) => held.has(peer.publicKey)),
  )
  const isHeld = ({ publicKey, endpoint }: TunnelPeer) =>
    endpoint !== undefined && held.get(publicKey) === joinEndpoint(endpoint.host, endpoint.port)
  const mayBe = (peer: TunnelPeer) => peer.endpoint === undefined || isIP(peer.endpoint.host) === 0 || isHeld(peer)
  const found =
    fitting.find(([, { peers }]) => peers.every(isHeld)) ??
    fitting.find(([, { peers }]) => peers.every(mayBe)) ??
    fitting[0]
  return found?.[0]
}
