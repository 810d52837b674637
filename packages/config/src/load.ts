/** From text to a valid system, or to every problem at once. */
import { Composer, type CST, isMap, isScalar, LineCounter, Parser, visit, type Document } from 'yaml'
import { checkSystem, type Problem } from './check.ts'
import { UserError } from './errors.ts'
import { nearestSystem, type NearestSystem } from './nearest-system.ts'
import { schemaProblems } from './schema-problems.ts'
import { systemSchema, type System } from './schema.ts'
import { readTextFile } from './text-file.ts'

/** Longest system file that is read, in bytes. */
const longestFile = 256 * 1024
/** One broken line can make all that follow it wrong. */
const mostSyntaxErrors = 10
/** A file of another kind would give one problem for each of its lines. */
const mostProblems = 100

/** Reads and validates the system file. Throws a `UserError` with one line for each problem. */
export async function loadSystem(path: string): Promise<System> {
  return (await readSystem(path)).system
}

/** As `loadSystem`, with the text as it was written. */
export async function readSystem(path: string): Promise<{ system: System; text: string }> {
  const text = await readSystemText(path)
  return { system: parseSystem(text, path), text }
}

/** The text of a system file, whatever it says; as much as `parseSystem` needs of one that is too long. */
export async function readSystemText(path: string): Promise<string> {
  try {
    return await readTextFile(path, longestFile)
  } catch (error) {
    throw new UserError(`${path}: ${readProblem(error)}`)
  }
}

function readProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return 'no such file: expected the system file (YAML)'
  if (code === 'EACCES') return 'not readable: expected the system file (YAML)'
  if (code === 'EISDIR') return 'is a directory: expected the system file (YAML)'
  return `could not be read (${code ?? String(error)})`
}

/** Validates the text of a system file; `file` stands before every problem. */
export function parseSystem(text: string, file: string): System {
  const { problems, nearest } = judgeSystem(text, file)
  if (nearest === undefined || problems.length > 0) throw new UserError(problems)
  return nearest.system
}

/** What is wrong with the text of a system file, and what is known of the system nevertheless. */
export interface Judgement {
  /** One line each, the file first; none where nothing is wrong. */
  problems: string[]
  /** Absent where the text is too unlike a system file. */
  nearest?: NearestSystem
}

/** As `parseSystem`, for those who have more to judge than the file. */
export function judgeSystem(text: string, file: string): Judgement {
  const { problems, nearest } = judge(text)
  const more = problems.length - mostProblems
  const shown = more > 0 ? [...problems.slice(0, mostProblems), `${more} more problems`] : problems
  return { problems: shown.map((problem) => `${file}: ${problem}`), ...(nearest && { nearest }) }
}

function judge(text: string): Judgement {
  if (Buffer.byteLength(text) > longestFile)
    return { problems: [`has more than ${longestFile} bytes: expected the system file (YAML)`] }
  const { problems, ...reading } = parseYaml(text)
  if (!('value' in reading)) return { problems }
  const { value } = reading
  const parsed = systemSchema.safeParse(value)
  if (parsed.success) problems.push(...checkSystem(parsed.data).map(line))
  else problems.push(...schemaProblems(parsed.error, value).map(line))
  // A file of another kind has no room for more, and nothing to be contradicted.
  if (problems.length >= mostProblems) return { problems }
  if (parsed.success) return { problems, nearest: { system: parsed.data, isKnown: () => true } }
  const nearest = nearestSystem(parsed.error, value)
  if (nearest === undefined) return { problems }
  return { problems: [...problems, ...checkSystem(nearest.system).map(line).filter(nearest.isKnown)], nearest }
}

function line({ path, message }: Problem): string {
  return path === '' ? message : `${path}: ${message}`
}

const tooDeep = 'lists or mappings within each other too many times'

/** What YAML has to say of a text; no value where none can be made of it. */
interface Reading {
  problems: string[]
  value?: unknown
}

function parseYaml(text: string): Reading {
  try {
    return readYaml(text)
  } catch (error) {
    // Where the parser does not notice its exhausted stack, the engine does.
    if (error instanceof RangeError) return { problems: [tooDeep] }
    throw error
  }
}

/** The documents of a text: the first, which there always is, and the one after it. */
function compose(text: string, lineCounter: LineCounter): [Document.Parsed, Document.Parsed | undefined] {
  const { stackTraceLimit } = Error
  // An error for each of a hundred thousand faults: nobody reads where in the parser each was made, which takes most of the time.
  Error.stackTraceLimit = 0
  try {
    // Warnings (a tag without meaning, a list as a key) would go to the process' own warnings; the schema judges the value.
    const composer = new Composer({ prettyErrors: false, uniqueKeys: false, logLevel: 'error' })
    const tokens = untilTooWrong(new Parser(lineCounter.addNewLine).parse(text))
    // `true` makes a document of a text without any.
    const [first, second] = composer.compose(tokens, true, text.length) as Iterable<Document.Parsed>
    return [first as Document.Parsed, second]
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** Tokens up to as many that stand nowhere as are told of. */
function* untilTooWrong(tokens: Iterable<CST.Token>): Generator<CST.Token, void> {
  let wrong = 0
  for (const token of tokens) {
    yield token
    if (token.type === 'error') wrong += 1
    if (wrong >= mostSyntaxErrors) return
  }
}

function readYaml(text: string): Reading {
  const lineCounter = new LineCounter()
  const [document, second] = compose(text, lineCounter)
  const at = (position: number) => {
    const { line: row, col } = lineCounter.linePos(position)
    return `line ${row}, column ${col}`
  }
  if (document.errors.length > 0 || second !== undefined) {
    // The parser reports its own exhausted stack as an error, and one more for each level that this left open.
    const deep = document.errors.find((error) => error.message.includes('call stack'))
    if (deep !== undefined) return { problems: [`${at(deep.pos[0])}: ${tooDeep}`] }
    const problems = document.errors.map(({ pos, message }) => `${at(pos[0])}: ${message}`)
    if (second !== undefined) problems.push(`${at(second.range[0])}: a second document begins: expected one`)
    return { problems: problems.slice(0, mostSyntaxErrors) }
  }
  // The last of them is what is judged.
  const problems = keysGivenTwice(document).map((position) => `${at(position)}: Map keys must be unique`)
  try {
    // Aliases are expanded; a bound keeps a small file from becoming a large value.
    return { problems, value: document.toJS({ maxAliasCount: 100 }) as unknown }
  } catch (error) {
    if (error instanceof RangeError) throw error
    return { problems: [...problems, error instanceof Error ? error.message : String(error)] }
  }
}

/** Where keys begin that their mapping has already; the parser's own test compares each key with all before it. */
function keysGivenTwice(document: Document.Parsed): number[] {
  const positions: number[] = []
  visit(document, (_, node) => {
    if (!isMap(node)) return
    const seen = new Set<string>()
    for (const { key } of node.items) {
      if (!isScalar(key)) continue
      const name = String(key.value)
      if (seen.has(name)) positions.push(key.range?.[0] ?? 0)
      seen.add(name)
    }
  })
  return positions
}
