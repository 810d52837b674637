/**
 * What an active router does before it hands over. When keepalived ends, its checker takes the gateways out of IPVS while its
 * VRRP process says goodbye; clients go on sending here until the other router has told them otherwise. By the rules of an
 * active router their flows would then be reset: from here on what belongs to no flow is dropped in silence.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Component } from '@vpn-gateway/runtime'
import type { Role } from './role.ts'

/** Milliseconds of the ten that an agent has to end: keepalived needs the others for its goodbye. */
const patience = 2500

/** Makes the component, which does something only when it is stopped: before keepalived, so it is started after that. */
export function createHandover(role: Pick<Role, 'withhold'>): Component {
  return {
    name: 'handover',
    async start() {
      // There is nothing to hand over yet.
    },
    async stop() {
      await Promise.race([role.withhold(), delay(patience, undefined, { ref: false })])
    },
  }
}
