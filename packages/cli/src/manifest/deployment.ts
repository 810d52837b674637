import type { AddressPlan, System } from '@vpn-gateway/config'

/** Everything that manifests are made from. */
export interface Deployment {
  system: System
  plan: AddressPlan
  /** The system file as it was written, comments included. */
  text: string
  /** Tag of the images. */
  version: string
  namespace: string
  /** How many gateway pods run; at most as many as the file has addresses for. */
  gateways: number
}
