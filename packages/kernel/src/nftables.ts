import { CommandError, type Runner } from './command.ts'
import type { NftTable } from './state.ts'

/** One nftables table without counters, from `nft --stateless list table`; undefined where there is none. */
export async function listNftTable(
  runner: Runner,
  family: NftTable['family'],
  name: string,
): Promise<NftTable | undefined> {
  try {
    const text = await runner.run({ argv: ['nft', '--stateless', '--numeric-priority', 'list', 'table', family, name] })
    return { family, name, body: parseNftBody(text) }
  } catch (error) {
    if (error instanceof CommandError && error.kind === 'not-found') return undefined
    throw error
  }
}

/** What stands between the braces of `table FAMILY NAME { … }`. */
export function parseNftBody(text: string): string {
  const start = text.indexOf('{\n')
  const end = text.lastIndexOf('}')
  return start < 0 || end < start ? '' : text.slice(start + 2, end).trimEnd()
}
