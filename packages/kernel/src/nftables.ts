import { CommandError, type Runner } from './command.ts'
import type { NftTable } from './state.ts'

/** One nftables table without counters, from `nft --stateless list table`; undefined where there is none. */
export async function listNftTable(
  runner: Runner,
  family: NftTable['family'],
  name: string,
): Promise<NftTable | undefined> {
  try {
    const text = await runner.run({
      argv: ['nft', '--stateless', '--numeric-priority', 'list', 'table', family, name],
    })
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

/** Packets and bytes that matched one rule of an nftables table since the table was made. */
export interface NftCounter {
  /** The rule without its counter's numbers. */
  rule: string
  packets: number
  bytes: number
}

/** Rules with a counter in one nftables table, in their order; undefined where there is no such table. */
export async function listNftCounters(
  runner: Runner,
  family: NftTable['family'],
  name: string,
): Promise<NftCounter[] | undefined> {
  try {
    return parseNftCounters(await runner.run({ argv: ['nft', 'list', 'table', family, name], timeoutMs: 5000 }))
  } catch (error) {
    if (error instanceof CommandError && error.kind === 'not-found') return undefined
    throw error
  }
}

/** Parses the text of `nft list table`: `… counter packets 3 bytes 180 reject with tcp reset`. */
export function parseNftCounters(text: string): NftCounter[] {
  return [...text.matchAll(/^(.*)\bcounter packets (\d+) bytes (\d+)(.*)$/gm)].map(
    ([, before = '', packets, bytes, after = '']) => ({
      rule: `${before.trimStart()}counter${after}`,
      packets: Number(packets),
      bytes: Number(bytes),
    }),
  )
}
