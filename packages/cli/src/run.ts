/** Each command, from its arguments to what it prints. */
import { judgeSystem, readSystem, readSystemText, UserError } from '@vpn-gateway/config'
import { parseArguments, type Request } from './arguments.ts'
import { completion } from './completion.ts'
import { deploymentOf, gatewayCount } from './deployment-of.ts'
import { commandHelp, programHelp } from './help.ts'
import { renderFiles, renderMonitoring, renderStream, routerFiles } from './manifests.ts'
import { planOn } from './plan.ts'
import { askAgents, findAgents } from './status/agents.ts'
import { statusScreen } from './status/screen.ts'
import { summary } from './summary.ts'
import { requireTunnels } from './tunnels.ts'
import { version } from './version.ts'
import { warnings } from './warnings.ts'
import { writeFiles } from './write-files.ts'

export interface Answer {
  /** For standard output; empty for none. */
  output: string
  /** For standard error, one line each. */
  notices: string[]
  /** Absent: 0. */
  exitCode?: number
}

/** Does what the arguments ask for. Rejects with a `UserError` for wrong arguments or a wrong file. */
export async function run(args: readonly string[]): Promise<Answer> {
  const request = parseArguments(args)
  switch (request.command) {
    case 'help':
      return answer(request.of === undefined ? programHelp : commandHelp[request.of])
    case 'version':
      return answer(`vpn-gateway ${version}`)
    case 'check':
      return check(request)
    case 'render':
      return render(request)
    case 'plan':
      return plan(request)
    case 'status':
      return status(request)
    case 'completion':
      return answer(completion(request.shell))
  }
}

type RequestOf<C extends Request['command']> = Extract<Request, { command: C }>

function answer(text: string, notices: string[] = []): Answer {
  return { output: text.endsWith('\n') ? text : `${text}\n`, notices }
}

async function check({ file, clusterCidrs, tunnels, gateways }: RequestOf<'check'>): Promise<Answer> {
  const problems: string[] = []
  const judged = async <T>(work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      problems.push(...error.problems)
      return undefined
    }
  }
  const text = await judged(() => readSystemText(file))
  const { problems: wrong, nearest } = text === undefined ? { problems: [] } : judgeSystem(text, file)
  problems.push(...wrong)
  const countable = nearest !== undefined && ['gatewayNetwork.gateways', 'routerNetwork'].every(nearest.isKnown)
  const count = countable ? await judged(() => gatewayCount(file, nearest.system, gateways)) : gateways
  if (tunnels !== undefined) await judged(() => requireTunnels(tunnels, count))
  const notices = (nearest === undefined ? [] : warnings(nearest.system, clusterCidrs).filter(nearest.isKnown)).map(
    (warning) => `warning: ${file}: ${warning}`,
  )
  if (nearest === undefined || problems.length > 0) throw new UserError([...problems, ...notices])
  return answer(`${file}: nothing is wrong\n\n${summary(nearest.system)}`, notices)
}

async function render({ file, output, gateways, monitoring }: RequestOf<'render'>): Promise<Answer> {
  const deployment = deploymentOf(file, await readSystem(file), gateways)
  if (output === undefined) {
    return answer(monitoring ? renderStream(deployment, 'monitoring') : renderStream(deployment, 'system'))
  }
  const files = monitoring ? renderMonitoring() : renderFiles(deployment)
  const outdated = monitoring ? [] : routerFiles.filter((name) => files[name] === undefined)
  await writeFiles(output, files, outdated)
  const next = monitoring ? `name it under components in a kustomization` : `kubectl apply -k ${output}`
  return answer(`${Object.keys(files).length} files written to ${output}: ${next}`)
}

async function plan(request: RequestOf<'plan'>): Promise<Answer> {
  const { steps, notices } = await planOn(request)
  return answer(steps.length === 0 ? 'nothing to change' : steps.join('\n'), notices)
}

async function status({ agents, json, timeout }: RequestOf<'status'>): Promise<Answer> {
  const { urls, problems } = agents.length > 0 ? { urls: agents, problems: [] } : await findAgents()
  const answers = await askAgents(urls, timeout)
  const ready = answers.length > 0 && answers.every((item) => item.status?.['state'] === 'ready')
  const shown = json ? JSON.stringify({ problems, agents: answers }, undefined, 2) : statusScreen(answers, problems)
  return { ...answer(shown), exitCode: ready ? 0 : 1 }
}
