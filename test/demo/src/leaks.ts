/**
 * The story of `npm run leaks`, told inside the machine: states of the system in which something could leave outside a
 * tunnel, with clients that send all the time whatever may leak, and captures wherever it would show.
 */
import { awaitSettled, gatewaysOf, pairOf, routersOf } from './awaiting.ts'
import { clientCases } from './leak/client-cases.ts'
import { routerCases } from './leak/router-cases.ts'
import { ruleCases } from './leak/rule-cases.ts'
import { openLeakStage, type Case, type LeakStage } from './leak/stage.ts'
import { bringUpCases, startCases } from './leak/start-cases.ts'
import { tunnelCases } from './leak/tunnel-cases.ts'
import type { LeakResult } from './message.ts'
import { chapter, line, progress } from './stage.ts'
import { bringLabUp, chosenBy, tellAll } from './teller.ts'

const laterCases: readonly Case[] = [...startCases, ...tunnelCases, ...routerCases, ...ruleCases, ...clientCases]

/** Waits until all is as before a case; what has ended starts again. */
async function recovered({ lab }: LeakStage): Promise<void> {
  progress('all get ready again')
  const names = [...lab.topology.nodes.map(({ name }) => name), ...routersOf(lab), ...gatewaysOf(lab)]
  for (const name of names) lab.agents.start(name)
  await Promise.all(names.map((name) => lab.agents.awaitReady(name)))
  await pairOf(lab)
  await awaitSettled(lab)
}

let stage: LeakStage | undefined

await tellAll(
  async ({ only }) => {
    const chosen = chosenBy(only, [...bringUpCases, ...laterCases])
    const play = async (on: LeakStage, item: Case) => {
      chapter(item.title, item.text)
      await on.play(item)
    }
    const lab = await bringLabUp({
      beforeAgents: async (early) => {
        stage = await openLeakStage(early)
        chapter('Captures that would see a leak', 'Each pod leaks on purpose on its eth0, each node on the underlay.')
        for (const { name } of early.topology.pods) await stage.capture.control(name)
        line('packets of every kind, from every pod and node: all seen, forgotten again')
        for (const item of bringUpCases.filter((each) => chosen.includes(each))) await play(stage, item)
      },
    })
    if (stage === undefined) throw new Error('the lab came up without its clients')
    const open = stage
    for (const item of laterCases.filter((each) => chosen.includes(each))) {
      // What a case could not be brought to says nothing about the next one.
      await recovered(open)
        .then(() => play(open, item))
        .catch((error: unknown) => open.promise(`${item.name}: ${String(error)}`, false))
    }
    await open.close()
    lab.close()
    return open.broken() === 0
  },
  (ok): LeakResult => ({ cases: stage?.cases ?? [], ok }),
)
