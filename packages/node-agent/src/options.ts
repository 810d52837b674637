import type { OptionDeclarations } from '@vpn-gateway/runtime'

/** The node agent has no options of its own: what it needs of the node, it finds there. */
export const nodeOptions = {} satisfies OptionDeclarations
