/** VPN providers: a kernel WireGuard server each, one exit address, and the ports that it forwards. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { System } from '@vpn-gateway/config'
import { wireguardPublicKey } from '@vpn-gateway/kernel'
import type { Runner } from '@vpn-gateway/kernel'
import { TUNNEL_DIR } from '../paths.ts'
import { endpointPort, tunnelClient, tunnelGateway } from './addresses.ts'
import { ipBatch, runIn } from './namespace.ts'
import type { Provider } from './topology.ts'

/** A new X25519 private key in WireGuard's base64 form. */
export function generateWireguardKey(): string {
  const { privateKey } = generateKeyPairSync('x25519')
  const { d } = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })).export({ format: 'jwk' })
  return Buffer.from(d ?? '', 'base64url').toString('base64')
}

/** Path of the wg-quick file that the provider gave to a gateway. */
export const tunnelFile = (gateway: string): string => join(TUNNEL_DIR, `${gateway}.conf`)

/** Renders a client file as providers export it. */
function renderTunnelFile(account: { privateKey: string; serverPublicKey: string; endpoint: string }): string {
  return `[Interface]
PrivateKey = ${account.privateKey}
Address = ${tunnelClient}/32
DNS = ${tunnelGateway}

[Peer]
PublicKey = ${account.serverPublicKey}
AllowedIPs = 0.0.0.0/0
Endpoint = ${account.endpoint}:${endpointPort}
PersistentKeepalive = 25
`
}

/** Renders a provider's NAT: clients leave with the exit address, forwarded ports go to the tunnel's client. */
export function renderProviderNat(provider: Provider, forwards: System['forwards']): string {
  const protocols = (protocol: System['forwards'][number]['protocol']): string[] =>
    protocol === 'both' ? ['tcp', 'udp'] : [protocol]
  const forwarded = forwards.flatMap(({ protocol, port }) =>
    (port === undefined ? [] : protocols(protocol)).map(
      (name) => `    ip daddr ${provider.exit} ${name} dport ${port} dnat to ${tunnelClient}`,
    ),
  )
  return `table ip provider {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
${forwarded.join('\n')}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "wg0" oifname "wan" snat to ${provider.exit}
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    # NAT leaves packets of no connection as they are.
    ct state invalid drop
  }
}
`
}

/** Configures one provider and writes the client file (mode 0600) for its gateway; keys are new each time. */
export async function startProvider(runner: Runner, provider: Provider, forwards: System['forwards']): Promise<void> {
  const [serverKey, clientKey] = [generateWireguardKey(), generateWireguardKey()]
  await mkdir(TUNNEL_DIR, { recursive: true, mode: 0o700 })
  await writeFile(
    tunnelFile(provider.gateway),
    renderTunnelFile({
      privateKey: clientKey,
      serverPublicKey: wireguardPublicKey(serverKey),
      endpoint: provider.endpoint,
    }),
    { mode: 0o600 },
  )
  // A file: wg opens /dev/stdin by name, and that fails (ENXIO) on the socket pair that Node gives a child for a pipe.
  const serverFile = join(TUNNEL_DIR, `${provider.name}.conf`)
  await writeFile(
    serverFile,
    `[Interface]
PrivateKey = ${serverKey}
ListenPort = ${endpointPort}

[Peer]
PublicKey = ${wireguardPublicKey(clientKey)}
AllowedIPs = ${tunnelClient}/32
`,
    { mode: 0o600 },
  )
  await ipBatch(runner, provider.name, [
    'link set lo up',
    `addr add ${provider.endpoint}/24 dev wan`,
    `addr add ${provider.otherEndpoint}/24 dev wan`,
    `addr add ${provider.exit}/24 dev wan`,
    'link set wan up',
    'route add default via 203.0.113.10 dev wan',
    'link add wg0 type wireguard',
    `addr add ${tunnelGateway}/24 dev wg0`,
    'link set wg0 mtu 1420 up',
  ])
  await Promise.all([
    runIn(runner, provider.name, ['wg', 'setconf', 'wg0', serverFile]),
    runIn(runner, provider.name, ['nft', '-f', '-'], { stdin: renderProviderNat(provider, forwards) }),
    runIn(runner, provider.name, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']),
  ])
}
