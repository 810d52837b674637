/** From text to a valid system, or to every problem at once. */
import { readFile } from 'node:fs/promises'
import { LineCounter, parseDocument } from 'yaml'
import { checkSystem, type Problem } from './check.ts'
import { UserError } from './errors.ts'
import { schemaProblems } from './schema-problems.ts'
import { systemSchema, type System } from './schema.ts'

/** Longest system file that is read, in bytes. */
const longestFile = 1024 * 1024
/** One broken line can make all that follow it wrong. */
const mostSyntaxErrors = 10

/** Reads and validates the system file. Throws a `UserError` with one line for each problem. */
export async function loadSystem(path: string): Promise<System> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new UserError(`${path}: ${readProblem(error)}`)
  }
  return parseSystem(text, path)
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
  const fail = (problems: string[]): never => {
    throw new UserError(problems.map((problem) => `${file}: ${problem.replaceAll(/\s*[\r\n]+\s*/g, ' ')}`))
  }
  if (Buffer.byteLength(text) > longestFile) return fail([`has more than ${longestFile} bytes`])
  const value = parseYaml(text, fail)
  const parsed = systemSchema.safeParse(value)
  if (!parsed.success) return fail(schemaProblems(parsed.error, value).map(line))
  const problems = checkSystem(parsed.data)
  return problems.length > 0 ? fail(problems.map(line)) : parsed.data
}

function line({ path, message }: Problem): string {
  return path === '' ? message : `${path}: ${message}`
}

function parseYaml(text: string, fail: (problems: string[]) => never): unknown {
  const lineCounter = new LineCounter()
  // Warnings (a tag without meaning, a list as a key) would go to the process' own warnings; the schema judges the value.
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true, logLevel: 'error' })
  if (document.errors.length > 0) {
    const at = (position: number) => {
      const { line: row, col } = lineCounter.linePos(position)
      return `line ${row}, column ${col}`
    }
    // The parser reports its own exhausted stack as an error, and one more for each level that this left open.
    const deep = document.errors.find((error) => error.message.includes('call stack'))
    if (deep !== undefined) return fail([`${at(deep.pos[0])}: lists or mappings within each other too many times`])
    const problems = document.errors.map((error) => {
      const message = error.code === 'MULTIPLE_DOCS' ? 'a second document begins: expected one' : error.message
      return `${at(error.pos[0])}: ${message}`
    })
    return fail(problems.slice(0, mostSyntaxErrors))
  }
  try {
    // Aliases are expanded; a bound keeps a small file from becoming a large value.
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (error) {
    return fail([error instanceof Error ? error.message : String(error)])
  }
}
