import type { NftTable, Owner } from '@vpn-gateway/kernel'
import type { Step } from './step.ts'

/** nftables tables, each wholly the owner's and replaced in one transaction. */
export function planNft(
  desired: readonly NftTable[] | undefined,
  observed: readonly NftTable[],
  owner: Owner,
): { replace: Step[]; del: Step[] } {
  if (desired === undefined) return { replace: [], del: [] }
  const key = (table: Pick<NftTable, 'family' | 'name'>) => `${table.family} ${table.name}`
  const held = new Map(observed.map((table) => [key(table), table]))
  const wanted = new Set(desired.map(key))
  return {
    replace: desired
      .filter((table) => held.get(key(table))?.body.trim() !== table.body.trim())
      .map((table) => ({ object: 'nft', action: 'replace', table })),
    del: observed
      .filter((table) => owner.nftTables.includes(table.name) && !wanted.has(key(table)))
      .map(({ family, name }) => ({ object: 'nft', action: 'del', table: { family, name } })),
  }
}
