import { bringUp, takeDown, type BringUpOptions, type Lab } from '@vpn-gateway/lab'

/** Brings the lab up, works in it, and takes it down whatever comes of it. */
export async function withLab<T>(
  say: (line: string) => void,
  work: (lab: Lab) => Promise<T>,
  options: Omit<BringUpOptions, 'onStep'> = {},
): Promise<T> {
  const lab = await bringUp({ ...options, onStep: (step, ms) => say(`${(ms / 1000).toFixed(1)} s ${step}`) })
  try {
    return await work(lab)
  } finally {
    lab.close()
    await takeDown()
  }
}
