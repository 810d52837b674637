/** From text to a valid system, or to every problem at once. */
import { readFile } from 'node:fs/promises'
import { LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import { checkSystem, type Problem } from './check.ts'
import { UserError } from './errors.ts'
import { systemSchema, type System } from './schema.ts'
import { nearest } from './suggestion.ts'

/** Longest system file that is read, in bytes. */
const longestFile = 1024 * 1024

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
    throw new UserError(problems.map((problem) => `${file}: ${problem}`))
  }
  if (Buffer.byteLength(text) > longestFile) return fail([`has more than ${longestFile} bytes`])
  const value = parseYaml(text, fail)
  const parsed = systemSchema.safeParse(value)
  if (!parsed.success) return fail(parsed.error.issues.flatMap((issue) => problemsOf(issue, value)).map(line))
  const problems = checkSystem(parsed.data)
  return problems.length > 0 ? fail(problems.map(line)) : parsed.data
}

function line({ path, message }: Problem): string {
  return path === '' ? message : `${path}: ${message}`
}

function parseYaml(text: string, fail: (problems: string[]) => never): unknown {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true, version: '1.2' })
  if (document.errors.length > 0) {
    fail(
      document.errors.map((error) => {
        const { line: row, col } = lineCounter.linePos(error.pos[0])
        return `line ${row}, column ${col}: ${error.message}`
      }),
    )
  }
  try {
    // Aliases are expanded; a bound keeps a small file from becoming a large value.
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (error) {
    return fail([error instanceof Error ? error.message : String(error)])
  }
}

type Issue = z.core.$ZodIssue

function problemsOf(issue: Issue, root: unknown): Problem[] {
  const path = pathText(issue.path)
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: unknownKey(key, issue.path) }))
    case 'invalid_union': {
      // The alternatives are told apart by their keys; what each expected follows.
      return [
        {
          path,
          message: `${found(valueAt(root, issue.path))}: expected one of { multicast: ADDRESS } and { addresses: [ADDRESS, …] }`,
        },
      ]
    }
    case 'custom':
      return [{ path, message: `${found(valueAt(root, issue.path))} ${issue.message}`.replace(/:? expected/, ': expected') }]
    default: {
      const value = valueAt(root, issue.path)
      return [{ path, message: `${value === undefined ? 'missing' : found(value)}: ${expectation(issue)}` }]
    }
  }
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${withArticle(issue.expected === 'int' ? 'whole number' : issue.expected)}`
    case 'invalid_value':
      return `expected ${issue.values.map((value) => String(value)).join(' or ')}`
    case 'too_small':
      return issue.origin === 'array' ? `expected at least ${issue.minimum} item` : `expected at least ${issue.minimum}`
    case 'too_big':
      return `expected at most ${issue.maximum}`
    default:
      return issue.message.startsWith('expected') ? issue.message : `expected something else (${issue.message})`
  }
}

function withArticle(type: string): string {
  const names: Record<string, string> = { object: 'mapping', array: 'list', string: 'text', record: 'mapping' }
  const name = names[type] ?? type
  return name === 'text' ? name : `a ${name}`
}

/** The value as a reader recognises it, cut short. */
function found(value: unknown): string {
  const text = typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value))
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    const name = String(key)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `${text}[${JSON.stringify(name)}]`
    return text === '' ? name : `${text}.${name}`
  }, '')
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    root,
  )
}

function unknownKey(key: string, parent: readonly PropertyKey[]): string {
  const known = knownKeys(parent)
  const near = nearest(key, known)
  return near === undefined ? `unknown key: expected one of ${known.join(', ')}` : `unknown key: expected ${near}?`
}

/** Keys that the schema has at a path; what it wraps (default, optional, list) is looked through. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let schema: unknown = systemSchema
  for (const key of path) schema = typeof key === 'number' ? elementOf(schema) : shapeOf(schema)?.[String(key)]
  return Object.keys(shapeOf(schema) ?? {})
}

interface Definition {
  innerType?: unknown
  element?: unknown
  shape?: Record<string, unknown>
}

function definitionOf(schema: unknown): Definition | undefined {
  const definition = (schema as { def?: Definition } | undefined)?.def
  return definition?.innerType === undefined ? definition : definitionOf(definition.innerType)
}

function shapeOf(schema: unknown): Record<string, unknown> | undefined {
  return definitionOf(schema)?.shape
}

function elementOf(schema: unknown): unknown {
  return definitionOf(schema)?.element
}
