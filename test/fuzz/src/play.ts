/** The thread of a player: runs the class that it is told of, and says before each input which one it is. */
import { parentPort, workerData } from 'node:worker_threads'
import type { FuzzClass } from './class.ts'
import type { Answer, Named, Play, Question } from './player.ts'

const { modules, progress } = workerData as Play
const loaded = (await Promise.all(modules.map((module) => import(module)))) as { classes: readonly FuzzClass[] }[]
const classes = loaded.flatMap((module) => module.classes)

parentPort?.on('message', (question: Question) => {
  void answerTo(question).then((answer) => parentPort?.postMessage(answer, []))
})
parentPort?.postMessage(
  classes.map(({ name, patience }): Named => ({ name, patience })),
  [],
)

async function answerTo(question: Question): Promise<Answer> {
  try {
    if ('play' in question) return { result: await find(question.play).run(question.settings, note) }
    return { text: find(question.describe).describe(question.number, question.seed) }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

function find(name: string): FuzzClass {
  const found = classes.find((each) => each.name === name)
  if (found === undefined) throw new Error(`${name}: no such class`)
  return found
}

function note(number: number, seed: number): void {
  Atomics.store(progress, 1, number)
  Atomics.store(progress, 2, seed)
  Atomics.add(progress, 0, 1)
}
