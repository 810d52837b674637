/** What a benchmark is: a name, and figures, each with how it was come by. */

export interface Figure {
  /** What was measured, `1,000 peers: from nothing`. */
  figure: string
  value: number
  unit: 'ms' | 's' | 'count' | 'bytes' | 'MB' | 'bit/s' | 'packets/s' | 'ratio'
  /** How it was measured, in one sentence. */
  method: string
  /** The most that it may be on real hardware; absent where nothing is promised. */
  most?: number
}

type Say = (line: string) => void

export interface Benchmark {
  title: string
  /** What has to be there before; runs on the machine that the user typed at. */
  prepare?(say: Say): Promise<void>
  /** Whether it runs in the whole lab, and so in a virtual machine only; otherwise in a network namespace of its own. */
  lab?: true
  /** Runs as root with a real kernel. */
  run(say: Say): Promise<Figure[]>
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
