/** What clients send that is not as it should be, and what comes too late for them. */
import { parseConntrackStats } from '@vpn-gateway/kernel'
import { awaitCondition, internetAddress, type Destination } from '@vpn-gateway/lab'
import { gatewaysOf, pairOf, routersOf } from '../awaiting.ts'
import { line } from '../stage.ts'
import { honest, rogue, type Case, type LeakStage } from './stage.ts'

/** Where nobody of the Internet is. */
const privateDestinations = ['172.16.9.9', '192.168.77.7', '169.254.169.254', '100.64.1.1', '198.18.0.1']
/** Of the intranet: the cluster's gateway and service, and an address beyond, which no pod has to do with. */
const intranetDestinations = ['10.42.0.1', '10.96.0.100', '10.77.7.7']

/**
 * Sources that are not the client's: of others on its network, of the Internet, of the intranet and of a pod, private ones. None that it sends to: what is an address of its own stays within.
 */
const foreignSources = ({ lab: { state, topology } }: LeakStage): string[] => [
  ...[honest, 'gateway-2'].map((name) => state.attached[name]?.['net1']?.address.split('/')[0] ?? ''),
  '192.168.50.200',
  '192.168.50.243',
  state.vip,
  '169.254.50.248',
  ...answeredSources,
  topology.pods.find(({ kind }) => kind === 'gateway')?.clusterAddress ?? '',
  '172.16.0.9',
]
/** Of these, the ones that answers would follow by the pod network. */
const answeredSources = ['203.0.113.77', '10.77.0.77']

/** Runs iproute2 commands as root of a client. */
const ipIn = ({ lab }: LeakStage, client: string, lines: readonly string[]) =>
  lab.exec(client, ['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` })

/** Packets that nobody waits for and that a pod has dropped: by policies, and by a router what begins from outside. */
async function dropped({ lab }: LeakStage, pod: string): Promise<number> {
  const text = await lab.exec(pod, ['iptables-save', '-c'])
  const counts = [/^:(?:INPUT|FORWARD) DROP \[(\d+):/gm, /^\[(\d+):\d+\] -A VG-PREROUTING .*-j DROP$/gm]
  return counts.flatMap((pattern) => [...text.matchAll(pattern)]).reduce((sum, [, packets]) => sum + Number(packets), 0)
}

/** Packets that connection tracking has dropped in a pod, for want of room or otherwise. */
async function untracked({ lab }: LeakStage, pod: string): Promise<number> {
  const stats = parseConntrackStats(await lab.exec(pod, ['cat', '/proc/net/stat/nf_conntrack']))
  if (stats === undefined) throw new Error(`${pod}: the kernel keeps no statistics of connection tracking`)
  return stats.drop + stats.earlyDrop
}

export const clientCases: readonly Case[] = [
  {
    name: 'conntrack-full',
    title: 'The connection tracking table is full',
    text: 'Room for sixteen entries in each pod: what is new finds none.',
    async play(stage) {
      const { lab } = stage
      const pods = ['gateway-0', (await pairOf(lab)).active]
      const count = async () => Promise.all(pods.map((pod) => untracked(stage, pod)))
      const before = await count()
      const room = await lab.faults.limitConntrack(16)
      try {
        await stage.sending('there is no room for new entries')
      } finally {
        await lab.faults.limitConntrack(room)
      }
      const after = await count()
      const full = pods.map((_, index) => (after[index] ?? 0) - (before[index] ?? 0))
      line(pods.map((pod, index) => `${pod}: ${full[index]} packets found no room`).join(', '))
      stage.promise(
        'the tables were full',
        full.every((packets) => packets > 0),
      )
    },
  },
  {
    name: 'own-addresses',
    title: 'A client sends from addresses that are not its own',
    text: 'From those of other clients, routers and gateways, of the Internet, of the intranet, private ones; by each way around, to routers themselves, and with packets that die on the way.',
    async play(stage) {
      const { lab } = stage
      const sources = foreignSources(stage)
      const ways = stage.detours.filter(
        ({ host }) => host === 'gateway-0' || host.startsWith('router') || host === 'node-2',
      )
      await lab.exec(rogue, [
        'bash',
        '-ec',
        // It does not answer for them, which would be another matter: others would lose their addresses to it.
        `sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        for a in ${sources.join(' ')}; do ip address replace $a/32 dev lo; done`,
      ])
      const destinations: Destination[] = [
        { address: internetAddress },
        ...ways.map(({ direct6 }, index) => ({ address: direct6, quiet: index > 0 })),
        ...sources.flatMap((source) =>
          [internetAddress, ...ways.map(({ direct }) => direct)].map((address) => ({ address, source, quiet: true })),
        ),
        ...answeredSources.flatMap((source) =>
          ways.flatMap(({ via, direct, link }) => [
            ...(link === 'net1' ? [{ address: via, source }] : []),
            { address: direct, source, ttl: 1 },
          ]),
        ),
      ]
      await stage.use(rogue, destinations)
      await stage.sending('with foreign addresses')
      await stage.sending('with foreign addresses')
      await stage.standard()
      await ipIn(
        stage,
        rogue,
        sources.map((address) => `address del ${address}/32 dev lo`),
      )
    },
  },
  {
    name: 'private-destinations',
    title: 'Clients send to private destinations',
    text: 'To private networks, a cloud’s metadata service and, by gateways and routers, to the cluster itself and to others of its intranet.',
    async play(stage) {
      const { lab } = stage
      const ways = stage.detours.filter(
        ({ host }) => host === 'gateway-0' || host === 'router-0' || host === 'router-1',
      )
      const first = { address: internetAddress }
      const six = stage.detours.map(({ direct6 }, index) => ({ address: direct6, quiet: index > 0 }))
      await stage.use(honest, [first, ...privateDestinations.map((address) => ({ address })), ...six])
      const all = [...privateDestinations, ...intranetDestinations]
      let reached = 0
      for (const { host, via } of ways) {
        await ipIn(
          stage,
          rogue,
          all.map((address) => `route replace ${address}/32 via ${via} dev net1`),
        )
        await stage.use(rogue, [first, ...all.map((address) => ({ address, port: 8080 })), ...six])
        await stage.sending(`by ${host}`)
        // From the pod network itself the service answers.
        const dial = `timeout 2 bash -c 'exec 3<>/dev/tcp/10.96.0.100/8080' 2>/dev/null && echo reached || true`
        if ((await lab.exec(rogue, ['bash', '-c', dial])).includes('reached')) reached += 1
      }
      await stage.standard()
      await ipIn(
        stage,
        rogue,
        all.map((address) => `route del ${address}/32`),
      )
      stage.promise('the intranet is not reached by the gateway network', reached === 0)
    },
  },
  {
    name: 'fragments',
    title: 'Clients send fragments',
    text: 'Datagrams larger than the MTU; then without their first fragments, which alone hold ports; then without the others.',
    async play(stage) {
      const { lab } = stage
      const large = (client: string) => [
        { address: internetAddress, size: 4000 },
        ...stage.detours
          .map(({ direct }) => ({ address: direct, size: 4000, quiet: true }))
          .slice(0, client === rogue ? 7 : 0),
        ...stage.detours.map(({ direct6 }, index) => ({ address: direct6, size: 4000, quiet: index > 0 })),
      ]
      for (const client of [honest, rogue]) await stage.use(client, large(client))
      await stage.sending('whole datagrams')
      for (const which of ['first', 'later'] as const) {
        for (const client of [honest, rogue]) await lab.faults.dropFragments(client, which)
        await stage.sending(`without ${which} fragments`)
      }
      let lost = 0
      for (const client of [honest, rogue]) lost += await lab.faults.passFragments(client)
      stage.promise(`${lost} fragments were taken out on the way`, lost > 0)
      await stage.standard()
    },
  },
  {
    name: 'late-replies',
    title: 'Replies come after their flows have died',
    text: 'The Internet host answers only when first routers and then gateways have forgotten the connections, and clients have closed them.',
    async play(stage) {
      const { lab } = stage
      for (const pods of [routersOf(lab), gatewaysOf(lab)]) {
        const count = async () => Promise.all(pods.map((pod) => dropped(stage, pod)))
        lab.faults.holdAnswers()
        await stage.sending('nobody answers')
        await Promise.all([honest, rogue].map((client) => stage.use(client, [])))
        await Promise.all(pods.map((pod) => lab.exec(pod, ['conntrack', '-F'])))
        const before = await count()
        lab.faults.releaseAnswers()
        const late = await awaitCondition(
          'late replies to be dropped',
          async () => {
            const now = await count()
            const more = now.reduce((sum, each, index) => sum + each - (before[index] ?? 0), 0)
            return more > 0 ? more : undefined
          },
          { timeoutMs: 20_000 },
        )
        line(`${pods.join(', ')}: ${late} late replies dropped so far`)
        await stage.standard()
        await stage.sending('all goes on')
      }
    },
  },
  {
    name: 'ipv6',
    title: 'Clients send IPv6',
    text: 'By each gateway, router and node, as a client’s root can; large packets and ones to the link’s own groups too.',
    async play(stage) {
      const destinations = stage.detours.flatMap(({ direct6 }) => [
        { address: direct6 },
        { address: direct6, size: 4000 },
      ])
      for (const client of [honest, rogue]) {
        await stage.use(client, [
          { address: internetAddress },
          ...destinations,
          { address: 'ff02::1%net1', quiet: true },
        ])
      }
      await stage.sending('mostly IPv6')
      await stage.standard()
    },
  },
]
