/** Who has which address in the lab; RFC 5737 ranges stand for the public Internet. */

/** Namespace names that the whole lab agrees on. */
export const CLUSTER = 'cluster'
export const INTERNET = 'internet'
/** Name of the program that answers on the Internet host. */
export const ANSWER = 'internet-answer'
/** Switches: layer 2 between nodes, and layer 2 between cluster, providers and Internet host. */
export const UNDERLAY = 'underlay'
export const WAN = 'wan'

export const underlayPrefix = 24
/** Default gateway of the nodes; nothing lies behind it, but `underlay.device: default-route` finds the device by it. */
export const underlayGateway = '172.30.0.254'
/** Address of node 1, 2, … on the underlay. */
export const nodeAddress = (node: number): string => `172.30.0.${node}`

export const clusterPrefix = 16
export const clusterGateway = '10.42.0.1'
/** Address of the n-th pod on the primary network, counted from 0. */
export const podAddress = (index: number): string => `10.42.0.${10 + index}`
/** Fixed service address that forwarded ports end at. */
export const serviceAddress = '10.96.0.100'
export const servicePort = 8080
/** Source of whatever the cluster sends to the Internet without a tunnel: what a leak looks like from outside. */
export const clusterWanAddress = '198.51.100.1'

/** Tunnel endpoint of provider 0, 1, …; UDP. */
export const endpointAddress = (provider: number): string => `198.51.100.${21 + provider}`
export const endpointPort = 51820
/** Second address of the same provider, where a tunnel can go on to. */
export const otherEndpointAddress = (provider: number): string => `198.51.100.${31 + provider}`
/** Address that traffic through provider 0, 1, … has on the Internet. */
export const exitAddress = (provider: number): string => `203.0.113.${21 + provider}`
/** Inside every tunnel, as real providers do it: the same addresses for each. */
export const tunnelGateway = '10.9.0.1'
export const tunnelClient = '10.9.0.2'

export const internetAddress = '203.0.113.10'
/** Second address of the Internet host, only for the capture's control packet, so that no flow's route is touched. */
export const controlAddress = '203.0.113.99'
/** More addresses of the Internet host, one for each pod that a client goes to by routes of its own. */
export const directAddress = (index: number): string => `203.0.113.${51 + index}`
/** Public addresses that gateways probe through their tunnels unless the system file names others; TCP port 443. */
export const probeAddresses = ['1.1.1.1', '9.9.9.9']
export const probePort = 443
/** TCP and UDP port of the Internet host that answers each line with the caller's address. */
export const echoPort = 9000
export const webPort = 80
