/** Damages to the text of a wg-quick file, and samples of files whole and damaged. */
import fc from 'fast-check'
import { file, write } from './provider-file.ts'

/** Damage to a text. Positions are shares of its length, so that they fit every text. */
type Damage = (text: string) => string
const position = fc.nat(65535)
const at = (text: string, share: number) => Math.floor((share / 65536) * (text.length + 1))
export const character: fc.Arbitrary<Damage> = fc
  .tuple(
    position,
    fc.nat(3),
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.constantFrom(
        '\r',
        '\n',
        '=',
        '#',
        '[',
        ']',
        ',',
        '/',
        ':',
        '.',
        '-',
        ' ',
        '\0',
        '\uFEFF',
        '\u2028',
        '9',
        '%eth0',
        '\ud800',
      ),
    ),
  )
  .map(
    ([where, cut, put]) =>
      (text) =>
        text.slice(0, at(text, where)) + put + text.slice(at(text, where) + cut),
  )
export const block: fc.Arbitrary<Damage> = fc
  .tuple(fc.constantFrom('cut', 'double', 'move'), position, fc.nat(120), position)
  .map(([kind, from, length, to]) => (text) => {
    const piece = text.slice(at(text, from), at(text, from) + length)
    if (kind === 'double') return text.slice(0, at(text, to)) + piece + text.slice(at(text, to))
    const rest = text.slice(0, at(text, from)) + text.slice(at(text, from) + length)
    return kind === 'cut' ? rest : rest.slice(0, at(rest, to)) + piece + rest.slice(at(rest, to))
  })
export const line: fc.Arbitrary<Damage> = fc
  .tuple(
    position,
    fc.constantFrom('drop', 'double', 'swap', 'comment', 'unvalued', 'unnamed', 'joined'),
    fc.constantFrom(
      '',
      '[Peer]',
      '[Interface]',
      '[Peers]',
      'PostUp = iptables -F',
      'Jc = 4',
      'MTU = 1e3',
      'Table = 51820',
      'constructor = 1',
    ),
  )
  .map(([where, kind, put]) => (text) => {
    const lines = text.split('\n')
    const index = Math.floor((where / 65536) * lines.length)
    const [before, it = '', next = ''] = [lines.slice(0, index), lines[index], lines[index + 1]]
    const [name, value] = [it.slice(0, it.indexOf('=')), it.slice(it.indexOf('=') + 1)]
    const changed: Record<typeof kind, string[]> = {
      drop: [put, next],
      double: [it, put, it, next],
      swap: [next, put, it],
      comment: [`#${it}`, next],
      unvalued: [`${name}=`, next],
      unnamed: [value, next],
      joined: [it + next],
    }
    return [...before, ...changed[kind], ...lines.slice(index + 2)].join('\n')
  })

/** Two to five of them, one after the other. */
export const several: fc.Arbitrary<Damage> = fc
  .array(fc.oneof(character, block, line), { minLength: 2, maxLength: 5 })
  .map(
    (all): Damage =>
      (text) =>
        all.reduce((before, one) => one(before), text),
  )

/** As many files as providers write them, and as many with a damage; the same ones for the same seed. */
export function sampleFiles(count: number, seed: number): { whole: string[]; damaged: string[] } {
  const samples = fc.sample(fc.tuple(file, fc.oneof(character, block, line)), { numRuns: count, seed })
  const whole = samples.map(([[said, by]]) => write(said, by))
  return { whole, damaged: whole.map((text, index) => samples[index]?.[1](text) ?? text) }
}
