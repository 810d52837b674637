/** Draws the story: live on a terminal, as plain lines elsewhere. */
import type { StoryEvent, StoryResult, Message } from './message.ts'

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

/** A column of the closing table. */
interface Column {
  title: string
  cell: (event: StoryEvent) => string | undefined
}

const columns: readonly Column[] = [
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

/** The closing table: a line for each event, without the columns that none has. */
export function renderTable({ events }: StoryResult): string {
  const shown = columns.filter(({ cell }) => events.length === 0 || events.some((event) => cell(event) !== undefined))
  const head = shown.map(({ title }) => title)
  const rows = events.map((event) => shown.map(({ cell }) => cell(event) ?? ''))
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const lineOf = (cells: string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
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
