import { listLinks, type Runner } from '@vpn-gateway/kernel'
import type { Component, Log } from '@vpn-gateway/runtime'

/**
 * Tells the gateway network which MAC the pod's address has now. A pod that takes the place of another has its address
 * but another MAC, and neighbours would go on sending to the old one. Setting a link's own MAC again makes the kernel
 * send a gratuitous ARP where `arp_notify` is set (ip-sysctl; the bridge plugin sets it), and changes nothing else.
 */
export function createAnnouncement(runner: Runner, dev: string, log: Log): Component {
  return {
    name: 'announcement',
    async start() {
      const mac = (await listLinks(runner)).find((link) => link.name === dev)?.mac
      if (mac === undefined) return
      await runner.run({ argv: ['ip', 'link', 'set', 'dev', dev, 'address', mac] }).catch((error: unknown) => {
        log.warn(
          { dev, error: error instanceof Error ? error.message : String(error) },
          'address not announced: neighbours learn it by asking',
        )
      })
    },
    stop: async () => undefined,
  }
}
