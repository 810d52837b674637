/** Inputs that look like the real ones and are not: samples with damages, noise, and the same thing over and over. */
import fc from 'fast-check'
import { below, drawer, pick, type Draw } from './draw.ts'

/** Without the bias to small numbers, with which a quarter of a hundred thousand inputs come twice. */
const seeds = fc.noBias(fc.integer())

/** What parsers stumble over. */
const words = [
  '',
  ' ',
  '\n',
  '\r\n',
  '\t',
  '\0',
  '\uFEFF',
  '\u2028',
  '\ud800',
  '\u001b[31m',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '-1',
  '0',
  '1e999',
  'NaN',
  '0x7fffffff',
  '4294967296',
  '99999999999999999999',
  '00000000000000000000000000000000000001',
  '1.2.3',
  '256.1.1.1',
  '::ffff:1.2.3.4%eth0',
  '[]',
  '{}',
  'null',
  '"',
  "'",
  '`',
  '[',
  ']',
  '{',
  '}',
  ':',
  ',',
  '=',
  '#',
  '*',
  '&a',
  '*a',
  '!!',
  '%',
  '\\',
  '-',
  '->',
  '../../../../etc/passwd',
  '$(reboot)',
]

/** Characters of the longest inputs but for those that say otherwise. */
const longest = 64 * 1024

/** One to six damages to one of the samples. */
export function damaged(samples: readonly string[]): fc.Arbitrary<string> {
  return seeds.map((seed) => {
    const draw = drawer(seed)
    let text = pick(draw, samples)
    for (let left = 1 + below(draw, 6); left > 0; left -= 1) text = damage(draw, text)
    return text
  })
}

function damage(draw: Draw, text: string): string {
  const from = below(draw, text.length + 1)
  const to = Math.min(text.length, from + below(draw, pick(draw, [2, 10, 80])))
  const [before, it, after] = [text.slice(0, from), text.slice(from, to), text.slice(to)]
  switch (below(draw, 9)) {
    case 0:
      return before + after
    case 1:
      return before + it + it + after
    case 2:
      return before + pick(draw, words) + after
    case 3:
      return before + pick(draw, words) + it + after
    case 4:
      return before + String.fromCharCode(below(draw, pick(draw, [128, 256, 65536]))) + after
    case 5:
      return before
    case 6:
      return before + (it || 'a').repeat(1 + below(draw, 40)) + after
    case 7: {
      // A word as a whole.
      const begin = Math.max(text.lastIndexOf(' ', from - 1), text.lastIndexOf('\n', from - 1)) + 1
      const length = text.slice(begin).search(/[\s:,)\]]|$/)
      return text.slice(0, begin) + pick(draw, words) + text.slice(begin + length)
    }
    default: {
      const lines = text.split('\n')
      const [one, other] = [below(draw, lines.length), below(draw, lines.length)]
      ;[lines[one], lines[other]] = [lines[other] ?? '', lines[one] ?? '']
      return lines.join('\n')
    }
  }
}

/** A piece over and over, up to `most` characters, between pieces of a sample: what patterns are slow with. */
export function repeated(samples: readonly string[], most = longest): fc.Arbitrary<string> {
  return fc.tuple(seeds, fc.string({ unit: 'binary', minLength: 1, maxLength: 12 })).map(([seed, noise]) => {
    const draw = drawer(seed)
    const sample = pick(draw, samples)
    const at = below(draw, sample.length)
    const piece =
      below(draw, 3) === 0
        ? noise
        : below(draw, 2) === 0
          ? pick(draw, words) || ' '
          : sample.slice(at, at + 1 + below(draw, 30)) || '\n'
    const many = piece.repeat(Math.ceil((below(draw, most) + 1) / piece.length))
    const cut = below(draw, sample.length + 1)
    return pick(draw, [many, sample.slice(0, cut) + many, sample.slice(0, cut) + many + sample.slice(cut)])
  })
}

/** Text in place of one of the samples: mostly damaged ones, some noise, a few that are long. */
export function textLike(samples: readonly string[], most = longest): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 300, arbitrary: damaged(samples) },
    { weight: 60, arbitrary: fc.string({ unit: 'binary', maxLength: 100 }) },
    { weight: 6, arbitrary: repeated(samples, most) },
  )
}

/** Values that stand where others were expected. */
const values: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  65536,
  4294967296,
  1e300,
  '',
  'x',
  '\n',
  '127.0.0.1',
  '127.0.0.1\r\nX: y',
  'a b',
  '\0',
  '__proto__',
  'constructor',
  [],
  [null],
  [[]],
  {},
  { constructor: 1 },
  { length: 5 },
]

/** JSON in place of one of the samples: values changed, taken away, moved; sometimes no JSON at all. */
export function jsonLike(samples: readonly string[]): fc.Arbitrary<string> {
  const structure = seeds.map((seed) => {
    const draw = drawer(seed)
    let value = JSON.parse(pick(draw, samples)) as unknown
    for (let left = 1 + below(draw, 4); left > 0; left -= 1) value = changed(draw, value)
    // JSON has no word for it, and a number that is too large becomes it.
    return JSON.stringify(value).replaceAll('1e+300', '1e999')
  })
  return fc.oneof({ weight: 3, arbitrary: structure }, { weight: 2, arbitrary: textLike(samples) })
}

function changed(draw: Draw, value: unknown): unknown {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
  if (entries.length === 0 || below(draw, 8) === 0) return structuredClone(pick(draw, values))
  const [key, inner] = pick(draw, entries)
  const choice = below(draw, 10)
  const put: readonly (readonly [string, unknown])[] =
    choice === 0 ? [] : choice === 1 ? [[pick(draw, words), inner]] : [[key, changed(draw, inner)]]
  const all = entries.flatMap(([name, item]) => (name === key ? put : [[name, item] as const]))
  return Array.isArray(value) ? all.map(([, item]) => item) : Object.fromEntries(all)
}

/** Bytes in place of one of the samples. */
export function bytesLike(samples: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = seeds.map((seed) => {
    const draw = drawer(seed)
    const bytes = Buffer.from(pick(draw, samples))
    for (let left = below(draw, 5); left > 0 && bytes.length > 0; left -= 1) {
      bytes.writeUInt8(pick(draw, [0, 1, 127, 128, 255, below(draw, 256)]), below(draw, bytes.length))
    }
    return below(draw, 4) === 0 ? bytes.subarray(0, below(draw, bytes.length + 1)) : bytes
  })
  return fc.oneof(
    { weight: 3, arbitrary: change },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)) },
  )
}
