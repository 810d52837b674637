/** Somebody else takes away what keeps clients in: packet filters, or policy routes, each with what is left standing alone. */
import { pairOf } from '../awaiting.ts'
import type { Case, LeakStage } from './stage.ts'

/** Takes all rules of netfilter away, policies of built-in chains included. */
const flushFilters = 'nft flush ruleset'
/** Takes away what an agent has set of policy rules and tables. */
const flushRouting = (priorities: readonly number[], tables: readonly number[]) =>
  [
    ...priorities.map((priority) => `while ip rule del priority ${priority} 2>/dev/null; do :; done`),
    ...tables.map((table) => `ip route flush table ${table}`),
  ].join('\n')

const gatewayRouting = flushRouting([1500, 1530, 1540], [151])
const routerRouting = flushRouting([1600, 1610, 1620], [152, 153])

/** Commands that fail until all is in place again; each is a process, which is pause enough. */
const gatewayRules = `ip rule | grep -q '^1540:' && ip route show table 151 | grep -q 'dev wg0'`
const gatewayFilters = `iptables -S VG-CLIENTS && iptables -t mangle -S VG-FORWARD && iptables -t nat -S VG-POSTROUTING && iptables -t raw -S VG-OUTPUT && ip6tables -S VG-INPUT`
const routerRules = `ip rule | grep -q '^1620:' && ip route show table 153 | grep -q default && ip route show table 152 | grep -q local`
const routerFilters = `iptables -S VG-FORWARD && ip6tables -S VG-FORWARD && iptables -t mangle -S VG-PREROUTING && iptables -t raw -S VG-OUTPUT && nft list table ip vpn_gateway_orphans`

interface Flush {
  flush: string
  /** Succeeds when all is there. */
  there: string
}

/** Flushes once while the agent is stopped, so that a state without rules lasts, and once while it runs, and measures. */
async function flushed(stage: LeakStage, host: string, { flush, there }: Flush): Promise<void> {
  const { lab } = stage
  lab.agents.signal(host, 'SIGSTOP')
  await lab.exec(host, ['bash', '-c', flush])
  await stage.sending('the rules are gone and the agent is stopped')
  lab.agents.signal(host, 'SIGCONT')
  // Looking costs programs, which an agent that repairs on the same processor would have to wait for.
  // read(1) that times out fails, and with it the loop whose last command it was.
  const back = `exec 9<> <(:)
until { ${there}; } >/dev/null 2>&1; do read -rt 0.2 -u 9 || true; done`
  await lab.exec(host, ['bash', '-c', back], { timeoutMs: 60_000 })
  const script = `${flush}
began=\${EPOCHREALTIME/./}
${back}
echo $(((\${EPOCHREALTIME/./} - began) / 1000))`
  stage.closedFor(Number(await lab.exec(host, ['bash', '-c', script], { timeoutMs: 60_000 })))
  await stage.sending('the rules are back')
}

export const ruleCases: readonly Case[] = [
  {
    name: 'gateway-filters-flushed',
    title: 'Somebody flushes all packet filters of a gateway',
    text: 'The agent is stopped first, so that nothing repairs them: policy routes alone lead into the tunnel. Then it runs, and repairs.',
    play: (stage) => flushed(stage, 'gateway-0', { flush: flushFilters, there: gatewayFilters }),
  },
  {
    name: 'gateway-routing-flushed',
    title: 'Somebody flushes the policy routes of a gateway',
    text: 'The same: packet filters alone keep clients in.',
    play: (stage) => flushed(stage, 'gateway-0', { flush: gatewayRouting, there: gatewayRules }),
  },
  {
    name: 'router-filters-flushed',
    title: 'Somebody flushes all packet filters and marks of the active router',
    text: 'The same there.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await flushed(stage, active, { flush: flushFilters, there: routerFilters })
    },
  },
  {
    name: 'router-routing-flushed',
    title: 'Somebody flushes the policy routes of the active router',
    text: 'The same there.',
    async play(stage) {
      const { active } = await pairOf(stage.lab)
      await flushed(stage, active, { flush: routerRouting, there: routerRules })
    },
  },
]
