import type { Link, LinkSpec, Owner, VxlanAttributes } from '@vpn-gateway/kernel'
import type { LinkChange, Step } from './step.ts'

export interface LinkPlan {
  /** Deletions that must come first, because a link of the same name is made anew. */
  replace: Step[]
  add: Step[]
  set: Step[]
  del: Step[]
  /** Desired names that belong to somebody else. */
  foreign: string[]
  /** Desired names that a daemon has not made yet. */
  awaited: string[]
  /** Names that are deleted and added again. */
  replaced: string[]
  /** Desired names that are or will be the owner's. */
  own: Set<string>
}

/** Links: bridges before their ports; kind and VXLAN attributes are fixed at creation, all else changes in place. */
export function planLinks(desired: readonly LinkSpec[] | undefined, observed: readonly Link[], owner: Owner): LinkPlan {
  const result: LinkPlan = {
    replace: [],
    add: [],
    set: [],
    del: [],
    foreign: [],
    awaited: [],
    replaced: [],
    own: new Set(),
  }
  if (desired === undefined) return result
  const byName = new Map(observed.map((link) => [link.name, link]))
  for (const spec of [...desired].sort(bridgesFirst)) {
    const link = byName.get(spec.name)
    const takenOver = link !== undefined && isTakenOver(spec, link)
    if (link !== undefined && link.alias !== owner.alias && !takenOver) {
      result.foreign.push(spec.name)
      continue
    }
    if (spec.kind === 'tun' && link === undefined) {
      result.awaited.push(spec.name)
      continue
    }
    result.own.add(spec.name)
    const current = link !== undefined && sameIdentity(spec, link) ? link : undefined
    if (current === undefined) {
      if (link !== undefined) {
        result.replace.push({ object: 'link', action: 'del', name: spec.name })
        result.replaced.push(spec.name)
      }
      result.add.push({ object: 'link', action: 'add', link: spec, alias: owner.alias })
    }
    const change = { ...(takenOver ? { alias: owner.alias } : {}), ...changeOf(spec, current) }
    if (Object.keys(change).length > 0) result.set.push({ object: 'link', action: 'set', name: spec.name, change })
  }
  const wanted = new Set(desired.map((spec) => spec.name))
  for (const link of observed) {
    if (link.alias === owner.alias && !wanted.has(link.name)) {
      result.del.push({ object: 'link', action: 'del', name: link.name })
    }
  }
  return result
}

function bridgesFirst(a: LinkSpec, b: LinkSpec): number {
  return Number(b.kind === 'bridge') - Number(a.kind === 'bridge')
}

function isTakenOver(spec: LinkSpec, link: Link): boolean {
  return spec.takeOver === true && link.alias === undefined && link.kind === spec.kind
}

function sameIdentity(spec: LinkSpec, link: Link): boolean {
  if (spec.kind !== link.kind) return false
  if (spec.vxlan === undefined) return true
  const wanted = spec.vxlan
  const held = link.vxlan
  if (held === undefined) return false
  const keys: (keyof VxlanAttributes)[] = ['id', 'port', 'underlay', 'local', 'group', 'learning']
  return (
    keys.every((key) => wanted[key] === held[key]) &&
    (wanted.udpChecksum === undefined || wanted.udpChecksum === held.udpChecksum)
  )
}

/** MTU and MAC are given at creation already; master and state always come as a change, after the bridge exists. */
function changeOf(spec: LinkSpec, link: Link | undefined): LinkChange {
  const change: LinkChange = {}
  if (spec.mtu !== undefined && link !== undefined && link.mtu !== spec.mtu) change.mtu = spec.mtu
  if (spec.mac !== undefined && link !== undefined && link.mac !== spec.mac) change.mac = spec.mac
  if (spec.master !== undefined && link?.master !== spec.master) change.master = spec.master
  if (spec.up !== undefined && (link?.up ?? false) !== spec.up) change.up = spec.up
  return change
}
