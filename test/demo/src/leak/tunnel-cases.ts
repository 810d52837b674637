/** What happens to a gateway, its tunnel and its agent. */
import { awaitCondition } from '@vpn-gateway/lab'
import { addressOf, awaitLease, awaitTunnel, awaitWeight, endpointOf, endsAt, gatewaysOf } from '../awaiting.ts'
import { changeSystem } from '../chaos/deed.ts'
import { lentForward, serviceEnd, withForward, withWeight } from '../system-text.ts'
import type { Case, LeakStage } from './stage.ts'
import { startAgents } from './starting.ts'

/** The gateway that things happen to. */
const victim = 'gateway-0'

/** Waits until the victim says that its tunnel carries nothing. */
async function down({ lab }: LeakStage): Promise<void> {
  await awaitCondition(
    `${victim} to be unready`,
    async () => ((await lab.agents.readiness(victim)).state === 'ready' ? undefined : true),
    { timeoutMs: 60_000 },
  )
}

/** Waits until the victim is ready and notes how long it took from `since`, by performance.now(). */
async function healed(stage: LeakStage, since: number): Promise<void> {
  await stage.lab.agents.awaitReady(victim)
  stage.closedFor(performance.now() - since)
}

/** Milliseconds within which an agent has taken a changed tunnel file. */
const takenWithinMs = 60_000

/** Bytes; another MTU than tunnels have. */
const otherMtu = 1380

/** A tunnel file with another endpoint and MTU, allowed IPs in halves and, in vain, of IPv6, and the keys of its peer turned round. */
function rewritten(text: string, endpoint: string): string {
  const [head = '', peer = ''] = text.split('\n[Peer]\n')
  const keys = peer
    .trim()
    .replace(/(Endpoint = ).*(?=:)/, `$1${endpoint}`)
    .replace('0.0.0.0/0', '0.0.0.0/1, 128.0.0.0/1, ::/0')
    .split('\n')
  return [head.trimEnd(), `MTU = ${otherMtu}`, '', '[Peer]', ...keys.toReversed(), ''].join('\n')
}

export const tunnelCases: readonly Case[] = [
  {
    name: 'tunnel-down',
    title: 'A gateway’s tunnel is down',
    text: 'The provider’s server no longer hears the gateway, then it does again.',
    async play(stage) {
      await stage.lab.faults.silenceProvider(victim, 'endpoint')
      await down(stage)
      await stage.sending('the tunnel is down')
      await stage.lab.faults.unsilenceProvider(victim)
      await stage.lab.agents.awaitReady(victim)
    },
  },
  {
    name: 'endpoint-rotates',
    title: 'A gateway goes on to another endpoint',
    text: 'The same, and there is a second tunnel file: the tunnel heals itself by it.',
    async play(stage) {
      const { faults, agents } = stage.lab
      await faults.silenceProvider(victim, 'endpoint')
      await faults.offerOtherEndpoint(victim)
      await down(stage)
      await agents.awaitReady(victim)
      await stage.sending('the tunnel has another endpoint')
      await faults.unsilenceProvider(victim)
      await faults.withdrawOtherEndpoint(victim)
      await stage.sending('the tunnel goes back')
    },
  },
  {
    name: 'tunnel-link-down',
    title: 'Somebody sets the tunnel’s link down',
    text: 'First with an agent that is stopped and cannot repair it, then it goes on.',
    async play(stage) {
      const { lab } = stage
      lab.agents.signal(victim, 'SIGSTOP')
      await lab.exec(victim, ['ip', 'link', 'set', 'wg0', 'down'])
      await stage.sending('the link is down')
      const since = performance.now()
      lab.agents.signal(victim, 'SIGCONT')
      await awaitCondition(
        'the link to be up',
        async () => (await lab.exec(victim, ['ip', '-br', 'link', 'show', 'wg0'])).includes('LOWER_UP') || undefined,
        { timeoutMs: 30_000, intervalMs: 20 },
      )
      stage.closedFor(performance.now() - since)
    },
  },
  {
    name: 'tunnel-link-deleted',
    title: 'Somebody deletes the tunnel’s link',
    text: 'With an agent that runs and makes it anew.',
    async play(stage) {
      const { lab } = stage
      const since = performance.now()
      await lab.exec(victim, ['ip', 'link', 'del', 'wg0'])
      await stage.sending('the link is gone or new')
      await healed(stage, since)
    },
  },
  {
    name: 'gateway-agent-killed',
    title: 'A gateway’s agent is killed with -9',
    text: 'Its tunnel goes on; then the link is deleted, and nobody is there to make it anew.',
    async play(stage) {
      const { lab } = stage
      await lab.agents.kill(victim)
      await stage.sending('the agent is dead')
      await lab.exec(victim, ['ip', 'link', 'del', 'wg0'])
      await stage.sending('the agent is dead and the link is gone')
      const since = performance.now()
      lab.agents.start(victim)
      await healed(stage, since)
    },
  },
  {
    name: 'gateway-agents-restart',
    title: 'All agents of gateways restart at once',
    text: 'SIGKILL, and the next ones start where they were.',
    async play(stage) {
      const { lab } = stage
      await Promise.all(gatewaysOf(lab).map((name) => lab.agents.kill(name)))
      for (const name of gatewaysOf(lab)) lab.agents.start(name)
      await stage.sending('the agents start')
      await Promise.all(gatewaysOf(lab).map((name) => lab.agents.awaitReady(name)))
    },
  },
  {
    name: 'gateway-agents-told-to-end',
    title: 'Agents of gateways are told to end, one, then all at once',
    text: 'SIGTERM: they drain, and a second one ends that; the next ones start where they were.',
    async play(stage) {
      const { agents } = stage.lab
      for (const names of [[victim], gatewaysOf(stage.lab)]) {
        const who = names.join(', ')
        for (const name of names) agents.signal(name, 'SIGTERM')
        await stage.sending(`${who}: draining`)
        await Promise.all(names.map((name) => agents.stop(name)))
        await stage.sending(`${who}: ended`)
        await startAgents(stage, names)
      }
    },
  },
  {
    name: 'tunnel-file-changes',
    title: 'A gateway’s tunnel file changes',
    text: 'Another endpoint, MTU, allowed IPs and order of keys, under an agent that runs; then it is broken, also for a new pod; then it is as before.',
    async play(stage) {
      const { lab } = stage
      const { faults, agents } = lab
      const other = endpointOf(lab, victim, 'other')
      const before = await faults.changeTunnelFile(victim, (text) => rewritten(text, other))
      const isTaken = endsAt(other)
      await awaitTunnel(lab, victim, (tunnel) => tunnel.mtu === otherMtu && isTaken(tunnel), takenWithinMs)
      await stage.sending('the tunnel is as the changed file says')
      await faults.changeTunnelFile(victim, (text) => text.replace('AllowedIPs', 'AllowedIP'))
      await awaitTunnel(lab, victim, ({ fileProblems }) => fileProblems.length > 0, takenWithinMs)
      await stage.sending('the file is broken, the tunnel as it was')
      await faults.killGateway(victim)
      await faults.attachGateway(victim)
      await stage.renew()
      agents.start(victim)
      await awaitCondition(`${victim} to refuse the file`, () => agents.pid(victim) === undefined || undefined, {
        timeoutMs: 60_000,
      })
      await stage.sending('a new pod’s agent has refused the file')
      await faults.changeTunnelFile(victim, () => before)
      await startAgents(stage, [victim])
    },
  },
  {
    name: 'system-changes',
    title: 'The system file changes',
    text: 'A gateway gets another weight and one more forwarded port: routers take it over in place, the gateway’s agent restarts. Then it is as before.',
    async play(stage) {
      const { lab } = stage
      const address = await addressOf(lab, victim)
      const forward = { name: 'more', protocol: 'both', port: 45_679, to: serviceEnd }
      const taken = async (change: string, wanted: number) => {
        await lab.agents.kill(victim)
        lab.agents.start(victim)
        await stage.sending(`the system is ${change}`)
        await lab.agents.awaitReady(victim)
        await awaitWeight(lab, victim, (weight) => weight === wanted)
      }
      const undo = await changeSystem(lab, (text) => withWeight(withForward(text, forward), address, 300))
      await taken('changed', 300)
      await undo()
      await taken('as before', 100)
    },
  },
  {
    name: 'port-lease-changes',
    title: 'A leased port changes',
    text: 'A provider lends a port by NAT-PMP, then its server has forgotten it and lends another one.',
    async play(stage) {
      const { lab } = stage
      await lab.faults.lendPorts(victim, 1024)
      const undo = await changeSystem(lab, (text) => withForward(text, lentForward))
      await lab.agents.restart(victim)
      const first = await awaitLease(lab, victim, 1024)
      await stage.sending('a port is lent')
      await lab.faults.lendPorts(victim, first + 1)
      await awaitLease(lab, victim, first + 1)
      await stage.sending('another port is lent')
      await lab.faults.endLending(victim)
      await undo()
      await lab.agents.restart(victim)
    },
  },
]
