/** Fills a router's IPVS table by IPVS' own sync, as another router would: no packet of a flow is needed. */
import { encodeFlows, flowsPerMessage } from '@vpn-gateway/router-agent/ipvs-message'

export interface ToldFlows {
  /** Address on the router network that the flows are told from. */
  from: string
  /** VRID of the routers, which is the id of their sync. */
  syncId: number
  /** Gateways that the receiver has in service; they get the flows in turns. */
  gateways: readonly string[]
  /** Number of the first flow, and of the one behind the last. */
  first: number
  end: number
}

/** Command that tells of these flows in the namespace of their teller, with its standard input. Every hundredth is of one client. */
export function tellingFlows({ from, syncId, gateways, first, end }: ToldFlows): {
  argv: [string, ...string[]]
  stdin: string
} {
  const messages: string[] = []
  for (let next = first; next < end; next += flowsPerMessage) {
    const flows = Array.from({ length: Math.min(flowsPerMessage, end - next) }, (_, index) => ({
      protocol: 'TCP',
      client: `192.168.50.${100 + ((next + index) % 100)}`,
      clientPort: 1024 + Math.floor((next + index) / 100),
      destination: '198.51.100.7',
      destinationPort: 443,
      realServer: gateways[(next + index) % gateways.length] ?? '',
      realServerPort: 0,
      state: 'ESTABLISHED',
      expires: 900,
      fwmark: 1,
    }))
    messages.push(encodeFlows(flows, syncId).toString('base64'))
  }
  return sendingMessages(from, messages)
}

/** Command that sends messages of IPVS' sync, in base64, from an address of its namespace, with its standard input. */
export function sendingMessages(
  from: string,
  messages: readonly string[],
): { argv: [string, ...string[]]; stdin: string } {
  // In bursts that the receiver's socket holds.
  const program = `const s = require('node:dgram').createSocket('udp4')
    const lines = require('node:fs').readFileSync(0, 'utf8').split('\\n')
    s.bind(0, '${from}', async () => { s.setMulticastInterface('${from}')
      for (const [i, line] of lines.entries()) {
        await new Promise((r) => s.send(Buffer.from(line, 'base64'), 8848, '224.0.0.81', r))
        if (i % 64 === 0) await new Promise((r) => setTimeout(r, 5)) }
      s.close() })`
  return { argv: [process.execPath, '-e', program], stdin: messages.join('\n') }
}
