/** What happens to a gateway, its tunnel and its agent. */
import { awaitCondition } from '@vpn-gateway/lab'
import { addressOf, awaitWeight, gatewaysOf } from '../awaiting.ts'
import { withForward, withWeight } from '../system-text.ts'
import type { Case, LeakStage } from './stage.ts'

/** The gateway that things happen to. */
const victim = 'gateway-0'

/** Where forwarded ports lead to. */
const service = { address: '10.96.0.100', port: 8080 }

/** Waits until a port is lent to the victim that is at least `lowest`; resolves to it. */
function leased({ lab }: LeakStage, lowest: number): Promise<number> {
  return awaitCondition(
    `${victim} to have a leased port from ${lowest} on`,
    async () => {
      const { body } = await lab.request(victim, { port: 9801, path: '/v1/forwards' })
      const held = (JSON.parse(body) as { port?: number; lease?: object }[]).find(({ lease }) => lease !== undefined)
      if (held?.port !== undefined && held.port >= lowest) return held.port
      throw new Error(JSON.stringify(held))
    },
    { timeoutMs: 60_000 },
  )
}

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
    name: 'system-changes',
    title: 'The system file changes',
    text: 'A gateway gets another weight and one more forwarded port: routers take it over in place, the gateway’s agent restarts. Then it is as before.',
    async play(stage) {
      const { lab } = stage
      const address = await addressOf(lab, victim)
      let before = ''
      const forward = { name: 'more', protocol: 'both', port: 45_679, to: service }
      for (const change of ['changed', 'as before'] as const) {
        await lab.changeSystem((text) => {
          if (change === 'as before') return before
          before = text
          return withWeight(withForward(text, forward), address, 300)
        })
        await lab.agents.kill(victim)
        lab.agents.start(victim)
        await stage.sending(`the system is ${change}`)
        await lab.agents.awaitReady(victim)
        await awaitWeight(lab, victim, (weight) => weight === (change === 'changed' ? 300 : 100))
      }
    },
  },
  {
    name: 'port-lease-changes',
    title: 'A leased port changes',
    text: 'A provider lends a port by NAT-PMP, then its server has forgotten it and lends another one.',
    async play(stage) {
      const { lab } = stage
      let before = ''
      await lab.faults.lendPorts(victim, 1024)
      await lab.changeSystem((text) => {
        before = text
        const lease = { protocol: 'nat-pmp', gateway: '10.9.0.1', lifetime: 10 }
        return withForward(text, { name: 'lent', protocol: 'both', lease, to: service })
      })
      await lab.agents.restart(victim)
      const first = await leased(stage, 1024)
      await stage.sending('a port is lent')
      await lab.faults.lendPorts(victim, first + 1)
      await leased(stage, first + 1)
      await stage.sending('another port is lent')
      await lab.faults.endLending(victim)
      await lab.changeSystem(() => before)
      await lab.agents.restart(victim)
    },
  },
]
