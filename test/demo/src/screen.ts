/** Draws the story: live on a terminal, as plain lines elsewhere. */
import { sentKinds } from '@vpn-gateway/lab/traffic/destination.ts'
import type { LeakCase, LeakResult, Message, StoryEvent, StoryResult } from './message.ts'

/** The part of a stream that the screen writes to. */
export interface Output {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

export interface Screen {
  show(message: Message): void
  /** Stops whatever moves and leaves the cursor on a fresh line. */
  end(): void
}

const wheel = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
/** Seconds without news after which plain output says what it waits for. */
const quietFor = 10

export const picture = `
   node-1                                  node-2
  ┌────────────────────────────┐          ┌────────────────────────────┐
  │ client-0   routes only     │          │ client-1                   │
  │    │                       │          │    │                       │
  │ ═══╪═════╤═══════╤═══════  │◄─ VXLAN ─►│ ═══╪═════╤═══════╤═══════  │  gateway network
  │    ▼     │       │         │          │          │       │         │
  │   VIP─ router-0  gateway-0 │          │      router-1  gateway-1   │
  │        IPVS,VRRP gateway-2 │          │      standby      │        │
  │ ═════════╧════════  │      │◄─ VXLAN ─►│ ═════════╧═════   │        │  router network
  └─────────────────────┼──────┘          └───────────────────┼────────┘
                        ▼ WireGuard                           ▼
              provider-0, provider-2                    provider-1
                        └──────────► internet ◄───────────────┘
`

/** Makes a screen on a stream. */
export function createScreen(out: Output): Screen {
  const live = out.isTTY === true
  const bold = (text: string) => (live ? `\u001B[1m${text}\u001B[0m` : text)
  const dim = (text: string) => (live ? `\u001B[2m${text}\u001B[0m` : text)
  const mark = (held: boolean) => (live ? `\u001B[${held ? 32 : 31}m${held ? '✔' : '✘'}\u001B[0m` : held ? '✔' : '✘')
  let current = ''
  let since = Date.now()
  let frame = 0
  const timer = setInterval(draw, live ? 120 : quietFor * 1000)
  timer.unref()

  function draw(): void {
    if (current === '') return
    const elapsed = Math.round((Date.now() - since) / 1000)
    if (!live) {
      if (elapsed >= quietFor) out.write(`    … ${current}\n`)
      return
    }
    frame = (frame + 1) % wheel.length
    const text = `  ${wheel[frame]} ${current}${elapsed >= 2 ? ` (${elapsed} s)` : ''}`
    out.write(`\r\u001B[K${text.slice(0, (out.columns ?? 80) - 1)}`)
  }

  function clear(): void {
    if (live) out.write('\r\u001B[K')
  }

  function print(text: string): void {
    clear()
    out.write(`${text}\n`)
  }

  return {
    show(message) {
      switch (message.type) {
        case 'chapter':
          current = ''
          print(`\n${bold(message.title)}\n${dim(wrap(message.text, Math.min(100, (out.columns ?? 100) - 2)))}`)
          return
        case 'progress':
          current = message.text
          since = Date.now()
          if (live) draw()
          return
        case 'line':
          print(`    ${message.text}`)
          return
        case 'promise':
          print(`  ${mark(message.held)} ${message.text}`)
          return
        case 'result':
          current = ''
          print(`\n${renderTable(message.result)}`)
          print(message.result.ok ? `${mark(true)} every promise held` : `${mark(false)} a promise was broken`)
      }
    },
    end() {
      clearInterval(timer)
      clear()
    },
  }
}

/** A column of a closing table. */
interface Column<Row> {
  title: string
  cell: (row: Row) => string | undefined
}

const storyColumns: readonly Column<StoryEvent>[] = [
  { title: 'event', cell: ({ event }) => event },
  { title: 'at', cell: ({ at_s: at }) => (at === undefined ? undefined : `${at} s`) },
  {
    title: 'settled after',
    cell: ({ settled_after_s: after }) => (after === undefined ? undefined : `${after.toFixed(1)} s`),
  },
  { title: 'flows', cell: ({ flows }) => String(flows) },
  { title: 'lost', cell: ({ lost }) => String(lost) },
  { title: 'may be lost', cell: ({ may_lose: may }) => (may?.length === 0 ? 'none' : may?.join(' ')) },
  { title: 'longest silence', cell: ({ longest_silence_ms: silence }) => `${(silence / 1000).toFixed(2)} s` },
  { title: 'leaked packets', cell: ({ leaked_packets: leaked }) => String(leaked) },
]

const leakColumns: readonly Column<LeakCase>[] = [
  { title: 'case', cell: (item) => item.case },
  ...sentKinds.map((kind) => ({ title: `${kind} sent`, cell: ({ sent }: LeakCase) => String(sent[kind]) })),
  { title: 'leaked', cell: ({ leaked_packets: leaked }) => String(leaked) },
  { title: 'control seen', cell: ({ control }) => `${control.pods} + ${control.underlay} + ${control.internet}` },
  {
    title: 'closed for',
    cell: ({ closed_ms: closed }) => (closed === undefined ? undefined : `${(closed / 1000).toFixed(2)} s`),
  },
]

/** Cells of the leak suite's table, a row for each case. */
export const leakRows = ({ cases }: LeakResult): string[][] =>
  cases.map((item) => leakColumns.map(({ cell }) => cell(item) ?? ''))

/** The closing table: a line for each event or case, without the columns that none has. */
export function renderTable(result: StoryResult | LeakResult): string {
  return 'cases' in result ? tableOf(leakColumns, result.cases) : tableOf(storyColumns, result.events)
}

function tableOf<Row>(columns: readonly Column<Row>[], items: readonly Row[]): string {
  const shown = columns.filter(({ cell }) => items.length === 0 || items.some((item) => cell(item) !== undefined))
  const head = shown.map(({ title }) => title)
  const rows = items.map((item) => shown.map(({ cell }) => cell(item) ?? ''))
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const lineOf = (cells: string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [lineOf(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(lineOf)].join('\n')
}

/** Breaks text into lines of at most `width` characters, each indented by two. */
export function wrap(text: string, width: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > width - 2) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map((item) => `  ${item}`).join('\n')
}
