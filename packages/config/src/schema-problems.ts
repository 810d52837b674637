/** The schema's complaints in a reader's words. */
import type { z } from 'zod'
import type { Problem } from './check.ts'
import { systemSchema } from './schema.ts'
import { nearest } from './suggestion.ts'

type Issue = z.core.$ZodIssue

/** What the schema finds wrong with a value: each field's path, what stands there, what was expected. */
export function schemaProblems(error: z.core.$ZodError, value: unknown): Problem[] {
  return error.issues.flatMap((issue) => problemsOf(issue, value))
}

function problemsOf(issue: Issue, root: unknown): Problem[] {
  const path = pathText(issue.path)
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: pathText([...issue.path, key]), message: unknownKey(key, issue.path) }))
    case 'invalid_union': {
      const value = valueAt(root, issue.path)
      const known = knownKeys(issue.path)
      const unknown = isMapping(value) ? Object.keys(value).filter((key) => !known.includes(key)) : []
      if (unknown.length > 0) {
        return unknown.map((key) => ({ path: pathText([...issue.path, key]), message: unknownKey(key, issue.path) }))
      }
      const shown = value === undefined ? 'missing' : found(value)
      return [{ path, message: `${shown}: expected a mapping with one of ${known.join(', ')}` }]
    }
    case 'custom':
      return [
        { path, message: `${found(valueAt(root, issue.path))} ${issue.message}`.replace(/:? expected/, ': expected') },
      ]
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

/** The value as a reader recognises it, on one line and cut short. */
function found(value: unknown): string {
  const text = jsonText(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

function jsonText(value: unknown): string | undefined {
  // JSON has no word for these.
  if (typeof value === 'number' && !Number.isFinite(value)) return undefined
  try {
    return JSON.stringify(value)
  } catch {
    // An alias may refer to what it is part of.
    return Array.isArray(value) ? 'a list that contains itself' : 'a mapping that contains itself'
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A path as a reader writes it: `forwards[1].port`. */
export function pathText(path: readonly PropertyKey[]): string {
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
export function knownKeys(path: readonly PropertyKey[]): string[] {
  let schema: unknown = systemSchema
  for (const key of path) schema = typeof key === 'number' ? elementOf(schema) : shapeOf(schema)?.[String(key)]
  return Object.keys(shapeOf(schema) ?? {})
}

interface Definition {
  innerType?: unknown
  element?: unknown
  shape?: Record<string, unknown>
  options?: unknown[]
}

function definitionOf(schema: unknown): Definition | undefined {
  const definition = (schema as { def?: Definition } | undefined)?.def
  return definition?.innerType === undefined ? definition : definitionOf(definition.innerType)
}

function shapeOf(schema: unknown): Record<string, unknown> | undefined {
  const definition = definitionOf(schema)
  // Of alternatives, the keys of all.
  return definition?.options === undefined
    ? definition?.shape
    : Object.fromEntries(definition.options.flatMap((option) => Object.entries(shapeOf(option) ?? {})))
}

function elementOf(schema: unknown): unknown {
  return definitionOf(schema)?.element
}
