/** What connection tracking cannot cope with: fragments without the others, answers that come late, a table without room. */
import { readFile, writeFile } from 'node:fs/promises'
import { podNamed, type LabContext } from '../context.ts'
import { signalProcess } from '../pods/process.ts'
import { ANSWER } from '../topology/addresses.ts'
import { runIn } from '../topology/namespace.ts'
import { removeTable } from './cut-table.ts'

export interface TrackingFaults {
  /** The switch drops the first fragments of what a pod sends on the gateway network, or the later ones. */
  dropFragments(pod: string, which: 'first' | 'later'): Promise<void>
  /** Lets them pass again; resolves to how many were dropped since `dropFragments` was last called. */
  passFragments(pod: string): Promise<number>
  /** The Internet host's programs stop as by SIGSTOP: its kernel still takes in what comes, answers come when it goes on. */
  holdAnswers(): void
  releaseAnswers(): void
  /** Entries that connection tracking may have in each namespace; resolves to how many there could be before. */
  limitConntrack(entries: number): Promise<number>
}

/** Makes these faults of one lab. */
export function createTrackingFaults({ runner, topology, state }: LabContext): TrackingFaults {
  const nft = async (node: string, text: string): Promise<void> => {
    await runIn(runner, node, ['nft', '-f', '-'], { stdin: text })
  }
  return {
    async dropFragments(pod, which) {
      const { node } = podNamed(topology, pod)
      const port = state.attached[pod]?.['net1']?.port
      if (port === undefined) throw new Error(`${pod}: no such interface`)
      await nft(node, fragmentTable(tableName(pod), port, which))
    },
    async passFragments(pod) {
      const { node } = podNamed(topology, pod)
      const text = await runIn(runner, node, ['nft', 'list', 'table', 'bridge', tableName(pod)])
      await nft(node, removeTable(tableName(pod)))
      return Number(/counter packets (\d+)/.exec(text)?.[1] ?? 0)
    },
    holdAnswers: () => void signalProcess(ANSWER, 'SIGSTOP'),
    releaseAnswers: () => void signalProcess(ANSWER, 'SIGCONT'),
    async limitConntrack(entries) {
      // One for all namespaces; only the machine's first one may set it.
      const path = '/proc/sys/net/netfilter/nf_conntrack_max'
      const before = Number(await readFile(path, 'utf8'))
      await writeFile(path, String(entries))
      return before
    },
  }
}

const tableName = (pod: string): string => `fragments_${pod.replaceAll('-', '_')}`

/** More fragments follow a first one (bit 0x2000), whose offset is 0; the offset of the others is not. */
const fragmentTable = (
  name: string,
  port: string,
  which: 'first' | 'later',
): string => `${removeTable(name)}table bridge ${name} {
  chain in {
    type filter hook prerouting priority -350; policy accept;
    iifname "${port}" ether type ip ip frag-off & ${which === 'first' ? '0x3fff == 0x2000' : '0x1fff != 0'} counter drop
  }
}
`
