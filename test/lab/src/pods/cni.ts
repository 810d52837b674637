/** Runs CNI plugins as a container runtime does (CNI specification 1.0): in the node's namespace, one after the other. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError } from '@vpn-gateway/kernel'
import type { Runner } from '@vpn-gateway/kernel'
import { namespacePath, runIn } from '../topology/namespace.ts'
import type { PluginList } from './attachment.ts'

/** Where Debian's containernetworking-plugins are. */
export const PLUGIN_DIR = '/usr/lib/cni'

/** Which pod's which interface a plugin works on. */
export interface AttachPoint {
  /** Namespace that the plugins run in. */
  node: string
  pod: string
  /** Name inside the pod, `net1`. */
  interface: string
}

/** What an attachment gave. */
export interface Attached {
  /** Name of the bridge port in the node's namespace. */
  port: string
  /** Address with prefix length. */
  address: string
}

interface PluginResult {
  interfaces?: { name: string; sandbox?: string }[]
  ips?: { address: string }[]
}

/** ADD: attaches one interface. On failure what was made is taken back (a failed ADD may leave its veth). */
export async function attach(
  runner: Runner,
  list: PluginList,
  at: AttachPoint,
  leaseDirectory: string,
): Promise<Attached> {
  await forgetLastLease(join(leaseDirectory, list.name))
  let result: PluginResult | undefined
  try {
    for (const plugin of list.plugins) {
      const output = await callPlugin(runner, 'ADD', list, plugin, at, result)
      result = JSON.parse(output) as PluginResult
    }
  } catch (error) {
    await detach(runner, list, at).catch(() => undefined)
    throw error
  }
  const port = result?.interfaces?.find((link) => link.sandbox === undefined && link.name.startsWith('veth'))?.name
  const address = result?.ips?.[0]?.address
  if (port === undefined || address === undefined) {
    throw new Error(`attaching ${at.pod} to ${list.name}: no port or address in ${JSON.stringify(result)}`)
  }
  return { port, address }
}

/** DEL: detaches one interface and frees its address; also when the pod's namespace is gone already. */
export async function detach(runner: Runner, list: PluginList, at: AttachPoint): Promise<void> {
  for (const plugin of list.plugins.toReversed()) await callPlugin(runner, 'DEL', list, plugin, at)
}

/** whereabouts gives the lowest free address; host-local goes on after the last one unless it has forgotten it. */
async function forgetLastLease(directory: string): Promise<void> {
  const entries = await readdir(directory).catch(() => [])
  const remembered = entries.filter((entry) => entry.startsWith('last_reserved_ip.'))
  await Promise.all(remembered.map((entry) => rm(join(directory, entry))))
}

async function callPlugin(
  runner: Runner,
  command: 'ADD' | 'DEL',
  list: PluginList,
  plugin: Record<string, unknown>,
  at: AttachPoint,
  prevResult?: PluginResult,
): Promise<string> {
  const type = String(plugin['type'])
  // A plugin says on standard output what went wrong; a command's error holds its standard error.
  const run = 'out=$("$0") || { code=$?; echo "$out" >&2; exit $code; }; echo "$out"'
  const environment = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: at.pod,
    CNI_NETNS: namespacePath(at.pod),
    CNI_IFNAME: at.interface,
    CNI_PATH: PLUGIN_DIR,
  }
  const config = {
    ...plugin,
    cniVersion: list.cniVersion,
    name: list.name,
    ...(prevResult === undefined ? {} : { prevResult }),
  }
  try {
    return await runIn(
      runner,
      at.node,
      [
        'env',
        ...Object.entries(environment).map(([key, value]) => `${key}=${value}`),
        'sh',
        '-c',
        run,
        join(PLUGIN_DIR, type),
      ],
      { stdin: JSON.stringify(config), timeoutMs: 60_000 },
    )
  } catch (error) {
    const said = error instanceof CommandError && error.stderr !== '' ? error.stderr.trim() : String(error)
    throw new Error(`CNI ${command} ${type} for ${at.pod} ${at.interface}: ${said}`, { cause: error })
  }
}
