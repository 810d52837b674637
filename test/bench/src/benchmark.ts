/** What a benchmark is: a name, and figures, each with how it was come by. */
import type { Scale } from './scale.ts'

type Unit = 'ms' | 's' | 's/GB' | '%' | 'count' | 'bytes' | 'MB' | 'Mbit/s' | 'flows/s' | 'packets/s' | 'ratio'

/** Units of what is no slower where the processor is emulated. */
const timeless: ReadonlySet<Unit> = new Set(['count', 'bytes', 'MB', 'ratio'])

export interface Figure {
  /** What was measured, `1,000 peers: from nothing`. */
  figure: string
  value: number
  unit: Unit
  /** How it was measured, in one sentence. */
  method: string
  /** The most that it may be on real hardware; absent where nothing is promised. */
  most?: number
}

export type Say = (line: string) => void

export interface Benchmark {
  title: string
  /** What has to be there before; runs on the machine that the user typed at. */
  prepare?(say: Say): Promise<void>
  /** Whether it runs in the whole lab, and so in a virtual machine only; otherwise in a network namespace of its own. */
  lab?: true
  /** The most flows that it can be asked for, where it has any. */
  mostFlows?: number
  /** Runs as root with a real kernel. */
  run(say: Say, scale: Scale): Promise<Figure[]>
}

/** All figures of a run, as `--json` writes them. */
export interface Report {
  benchmark: string
  title: string
  machine: { kind: 'native' | 'kvm' | 'emulated'; kernel: string; cpus: number; cpu: string; node: string }
  /** When it began, ISO 8601. */
  at: string
  figures: Figure[]
}

/**
 * Figures that are more than was promised. Emulation is several times slower than what times are promised for; all else
 * is the same everywhere.
 */
export function brokenPromises({ machine: { kind }, figures }: Report): Figure[] {
  return figures.filter(
    ({ value, most, unit }) => most !== undefined && value > most && (timeless.has(unit) || kind !== 'emulated'),
  )
}

/** The figures as a table of Markdown. */
export function table({ title, machine, figures }: Report): string {
  const rows = figures.map(({ figure, value, unit, most, method }) => [
    figure,
    `${shown(value)}${unit === 'count' || unit === 'ratio' ? '' : ` ${unit}`}`,
    most === undefined ? '' : `≤ ${shown(most)}`,
    method,
  ])
  return [
    `## ${title}`,
    '',
    `${machine.cpus} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}, ${machine.kind}`,
    '',
    '| figure | measured | promised | method |',
    '|---|---|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ].join('\n')
}

/** Three digits are more than such measurements are worth. */
function shown(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en')
}
