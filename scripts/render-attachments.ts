/** Writes deploy/base/network-attachments from deploy/vpn-gateway.yaml. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { loadSystem, renderAttachments } from '../packages/config/src/index.ts'

const folder = new URL('../deploy/base/network-attachments/', import.meta.url)
const system = await loadSystem(new URL('../deploy/vpn-gateway.yaml', import.meta.url).pathname)
await rm(folder, { recursive: true, force: true })
await mkdir(folder, { recursive: true })
for (const [name, text] of Object.entries(renderAttachments(system))) await writeFile(new URL(name, folder), text)
