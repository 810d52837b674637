/** What the operator's guide tells to type, in its order. Pure. */

export interface Told {
  /** Language of the block; `code` for words in the text. */
  language: string
  /** One command with its continued lines joined and its comment left out; all of a block that is no shell's. */
  text: string
  line: number
}

/** Commands and files of a Markdown text. */
export function toldBy(markdown: string): Told[] {
  const told: Told[] = []
  let block: { language: string; lines: string[]; line: number } | undefined
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^\s*```(\w*)$/.exec(line)
    if (fence === null) {
      if (block === undefined) told.push(...codesIn(line, index + 1))
      else block.lines.push(line)
      continue
    }
    if (block !== undefined) told.push(...itemsOf(block))
    block = block === undefined ? { language: fence[1] ?? '', lines: [], line: index + 2 } : undefined
  }
  return told
}

/** Words in the text that may be typed: several, and not those of a setting, which has a colon. */
function codesIn(text: string, line: number): Told[] {
  const codes = [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
  return codes
    .filter((code) => /^[a-z]\S* \S/.test(code) && !code.includes(': '))
    .map((code) => ({ language: 'code', text: code, line }))
}

function itemsOf({ language, lines, line }: { language: string; lines: string[]; line: number }): Told[] {
  const indent = Math.min(...lines.filter((each) => each.trim() !== '').map((each) => each.search(/\S/)))
  const text = lines.map((each) => each.slice(indent))
  if (language !== 'sh') return [{ language, text: `${text.join('\n')}\n`, line }]
  return text.flatMap((each, index) =>
    each.trim() === '' ? [] : [{ language, text: each.replace(/\s+# .*$/, ''), line: line + index }],
  )
}
