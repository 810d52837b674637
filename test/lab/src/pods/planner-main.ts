/** Plans afresh, in the namespace that it was started in, whenever a line with a request comes in; answers with a line. */
import { createInterface } from 'node:readline'
import { planOn, type PlanRequest } from '@vpn-gateway/cli/plan'
import type { PlanAnswer } from './planners.ts'

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as PlanRequest))}\n`)
}

async function answer(request: PlanRequest): Promise<PlanAnswer> {
  try {
    const { steps, notices } = await planOn(request)
    return { steps: [...steps, ...notices] }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}
