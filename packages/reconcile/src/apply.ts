import { CommandError, writeSysctl, type Runner } from '@vpn-gateway/kernel'
import { batches, type Batch } from './render.ts'
import type { Step } from './step.ts'

/** A step that did not work, and why. */
export interface StepFailure {
  step: Step
  error: Error
}

/**
 * Carries the steps out in order, in bulk. Failures are collected, because independent resources fail independently;
 * only where a filter could not be set everything after it is left undone, so that nothing opens without it.
 */
export async function apply(runner: Runner, steps: readonly Step[]): Promise<StepFailure[]> {
  const failures: StepFailure[] = []
  let closed = true
  for (const batch of batches(steps)) {
    if (!closed) {
      failures.push(...batch.steps.map((step) => ({ step, error: new Error('not tried: a filter before it failed') })))
      continue
    }
    const failed = batch.via === 'sysctl' ? await applySysctls(batch.steps) : await applyCommand(runner, batch)
    failures.push(...failed)
    if (failed.some(({ step }) => step.object === 'iptables' || step.object === 'nft')) closed = false
  }
  return failures
}

async function applySysctls(steps: Extract<Step, { object: 'sysctl' }>[]): Promise<StepFailure[]> {
  const results = await Promise.allSettled(steps.map((step) => writeSysctl(step.key, step.value)))
  return results.flatMap((result, index) => {
    const step = steps[index]
    if (result.status === 'fulfilled' || step === undefined) return []
    return [{ step, error: asError(result.reason) }]
  })
}

async function applyCommand(runner: Runner, batch: Extract<Batch, { via: 'command' }>): Promise<StepFailure[]> {
  try {
    await runner.run(batch.invocation)
    return []
  } catch (error) {
    if (error instanceof CommandError) {
      const named = failuresByLine(error, batch)
      if (named.length > 0) return named
    }
    return batch.steps.map((step) => ({ step, error: asError(error) }))
  }
}

/** With -force iproute2 goes on after a failure and says `Command failed -:LINE` behind each message. */
function failuresByLine(error: CommandError, batch: Extract<Batch, { via: 'command' }>): StepFailure[] {
  const failures: StepFailure[] = []
  let said: string[] = []
  for (const text of error.stderr.split('\n')) {
    const failed = /^Command failed .*:(\d+)$/.exec(text)
    if (failed === null) {
      said.push(text)
      continue
    }
    const step = batch.steps[batch.stepOfLine[Number(failed[1]) - 1] ?? -1]
    if (step !== undefined) failures.push({ step, error: new Error(said.join(' ').trim()) })
    said = []
  }
  return failures
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
