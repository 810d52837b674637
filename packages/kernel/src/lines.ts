/**
 * Takes text as it comes in and calls `onLine` for each line that has ended, without its end. Of a line that is longer than
 * `longest` characters the beginning is told, and no more of it is kept: who writes without end must not fill the memory.
 */
export function splitLines(longest: number, onLine: (line: string) => void): (text: string) => void {
  let rest = ''
  return (text) => {
    const lines = text.split('\n')
    const last = lines.pop() ?? ''
    for (const line of lines) {
      const whole = rest + line.slice(0, longest)
      rest = ''
      onLine(whole.slice(0, longest).replace(/\r$/, ''))
    }
    // Not cut afterwards: that would copy a line which is too long already, of megabytes, for each of its further parts.
    if (rest.length < longest) rest += last.slice(0, longest - rest.length)
  }
}
