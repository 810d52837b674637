/** How agents are started in cases, with clients that go on sending. */
import { awaitCondition } from '@vpn-gateway/lab'
import type { LeakStage } from './stage.ts'

/** Starts agents and waits until all of them are ready. */
export async function startAgents({ lab }: LeakStage, names: readonly string[]): Promise<void> {
  for (const name of names) lab.agents.start(name)
  await Promise.all(names.map((name) => lab.agents.awaitReady(name)))
}

/** Starts agents that may have to wait for others before they are ready; resolves once each answers. */
export async function startUnready({ lab }: LeakStage, names: readonly string[]): Promise<void> {
  for (const name of names) lab.agents.start(name)
  await Promise.all(
    names.map((name) =>
      awaitCondition(
        `${name} to answer`,
        async () => ((await lab.agents.readiness(name)).state === 'down' ? undefined : true),
        { timeoutMs: 120_000, intervalMs: 500 },
      ),
    ),
  )
}
