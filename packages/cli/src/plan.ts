/** `vpn-gateway plan`: what an agent would change on this machine, found out by reading only. */
import { readSystem, UserError, type System } from '@vpn-gateway/config'
import { intent as gatewayIntent } from '@vpn-gateway/gateway-agent/intent'
import { createRunner, type DesiredState, type Owner, type Runner } from '@vpn-gateway/kernel'
import { intent as nodeIntent } from '@vpn-gateway/node-agent/intent'
import { conflicts, describeStep, observe, plan, type Step } from '@vpn-gateway/reconcile'
import { intent as routerIntent } from '@vpn-gateway/router-agent/intent'
import { hostname } from 'node:os'
import type { AgentChoice } from './arguments.ts'

export interface PlanRequest {
  agent: AgentChoice
  file: string
  /** Pod or node; the machine's name unless said. */
  name?: string
  interface?: string
  primary?: string
  routerInterface?: string
  tunnel?: string
  /** Where the running gateway writes its ports; the agent's own place unless said. */
  forwardsFile?: string
}

/** Where a gateway's pod has it: `--run-dir` and `--forwards-file` of the agent. */
const usualForwardsFile = '/run/vpn-gateway/forwards.json'

/** Steps one line each, in their order, and what stands in the way or is left out. Rejects with a `UserError` as the agent would. */
export async function planOn(request: PlanRequest): Promise<{ steps: string[]; notices: string[] }> {
  const { system } = await readSystem(request.file)
  const runner = createRunner()
  const { desired, owner, notices = [] } = await intended(request, system, runner)
  const observed = await observe(runner, desired, owner)
  return {
    steps: plan(desired, observed, owner).map(line),
    notices: [...conflicts(desired, observed, owner), ...notices],
  }
}

function intended(
  request: PlanRequest,
  system: System,
  runner: Runner,
): Promise<{ desired: DesiredState; owner: Owner; notices?: string[] }> {
  const { agent, file: config, name = hostname(), interface: link = 'net1', primary = 'eth0' } = request
  switch (agent) {
    case 'node':
      return nodeIntent(runner, system, { config, name })
    case 'router':
      return routerIntent(runner, system, {
        config,
        name,
        interface: link,
        routerInterface: request.routerInterface ?? 'net2',
      })
    case 'gateway':
      if (request.tunnel === undefined) {
        throw new UserError("--tunnel: missing: expected the provider's wg-quick file, as the gateway is given it")
      }
      return gatewayIntent(runner, system, {
        interface: link,
        primary,
        tunnel: request.tunnel,
        forwardsFile: request.forwardsFile ?? usualForwardsFile,
      })
  }
}

/** Marks as diff(1) has them: what comes, what goes, what changes. */
function line(step: Step): string {
  const mark = step.action === 'del' ? '-' : step.action === 'add' || step.action === 'append' ? '+' : '~'
  return `${mark} ${describeStep(step)}`
}
