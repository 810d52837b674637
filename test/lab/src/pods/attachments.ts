/** The network attachments that the lab's pods get: the published ones, or rendered from another system file. */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { networkAttachments } from '@vpn-gateway/config'
import type { AttachmentName, System } from '@vpn-gateway/config'
import { parse } from 'yaml'
import { LEASE_DIR } from '../paths.ts'
import { pluginListOf } from './attachment.ts'
import type { NetworkAttachment, PluginList } from './attachment.ts'

/** What the CNI plugins are given for each kind of cable; none for a network that the system does not have. */
export type Attachments = Partial<Record<AttachmentName, PluginList>>

/** Translates the attachments in a directory of manifests, or those of a system that is not published. */
export async function attachmentsOf(source: string | System): Promise<Attachments> {
  const attachments = typeof source === 'string' ? await readPublished(source) : networkAttachments(source)
  return Object.fromEntries(attachments.map((item) => [item.metadata.name, pluginListOf(item, LEASE_DIR)]))
}

async function readPublished(manifests: string): Promise<NetworkAttachment[]> {
  const directory = join(manifests, 'network-attachments')
  const files = (await readdir(directory)).filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  return Promise.all(
    files.map(async (file) => parse(await readFile(join(directory, file), 'utf8')) as NetworkAttachment),
  )
}
