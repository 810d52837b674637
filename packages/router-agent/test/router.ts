import { addressPlan, parseSystem, type System } from '@vpn-gateway/config'
import { readFileSync } from 'node:fs'
import { pathsIn } from '../src/paths.ts'
import type { Router } from '../src/router.ts'

const published = readFileSync(new URL('../../../deploy/vpn-gateway.yaml', import.meta.url), 'utf8')

/** A file of what a real tool printed, or of what the renderers should. */
export function recorded(name: string): string {
  return readFileSync(new URL(`recorded/${name}`, import.meta.url), 'utf8')
}

/** The second router of the published system, with its own changes. */
export function exampleRouter(
  changes: Partial<Router> = {},
  edit: (system: System) => System = (system) => system,
): Router {
  const system = edit(parseSystem(published, 'vpn-gateway.yaml'))
  return {
    system,
    plan: addressPlan(system),
    name: 'router-1',
    link: 'net1',
    address: '192.168.50.242',
    syncLink: 'net2',
    syncAddress: '192.168.51.2',
    syncSubnet: '192.168.51.0/24',
    paths: pathsIn('/run/vpn-gateway'),
    ...changes,
  }
}
