/** What a fault's doing is: how one is written, and what several have in common. */
import type { Lab } from '@vpn-gateway/lab'

/** Undoes a fault; where an agent is to repair it, there is nothing to do. */
type Undo = () => Promise<void> | void

/** Does a fault to a pod or node, by its name; resolves, once it is done, to what undoes it. */
export type Deed = (lab: Lab, on: string, detail: string | number) => Promise<Undo>

export const repairsItself: Undo = () => undefined

/** Changes the system file; undone, it is what it was before. */
export async function changeSystem(lab: Lab, change: (text: string) => string): Promise<Undo> {
  const before = await lab.changeSystem(change)
  return async () => void (await lab.changeSystem(() => before))
}
