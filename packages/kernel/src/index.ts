export { listAddresses, parseAddresses } from './address.ts'
export { classifyFailure, CommandError, createRunner } from './command.ts'
export type { CommandErrorKind, Invocation, Runner, RunnerOptions } from './command.ts'
export { parseConntrackStats, readConntrackCount, readConntrackRoom, readConntrackStats } from './conntrack.ts'
export type { ConntrackRoom, ConntrackStats } from './conntrack.ts'
export { listFdb, parseFdb } from './fdb.ts'
export { listIptables, listRuleCounters, parseIptablesSave, parseRuleCounters } from './iptables.ts'
export type { RuleCounter } from './iptables.ts'
export {
  hexadecimal,
  parseIpvs,
  parseIpvsConnection,
  parseIpvsStats,
  readIpvs,
  readIpvsConnections,
  readIpvsStats,
} from './ipvs.ts'
export type { IpvsConnection, IpvsStats, RealServer, VirtualService } from './ipvs.ts'
export { OutputError, readItems } from './json.ts'
export { listLinks, parseLinks } from './link.ts'
export { readReceivedBytes } from './link-statistics.ts'
export { splitLines } from './lines.ts'
export { readMemoryFileIfPresent } from './memory-file.ts'
export { watchNetlink } from './monitor.ts'
export type { NetlinkWatch } from './monitor.ts'
export { parseNetwork, readNetwork } from './network.ts'
export type { Network, NetworkObject } from './network.ts'
export { listNftCounters, listNftTable, parseNftBody, parseNftCounters } from './nftables.ts'
export type { NftCounter } from './nftables.ts'
export {
  hasNetAdmin,
  kernelModulesMissing,
  kernelModuleStates,
  missingBinaries,
  parseModuleList,
} from './requirement.ts'
export type { KernelModuleState } from './requirement.ts'
export { listRoutes, parseRoutes } from './route.ts'
export { listRules, parseRules } from './rule.ts'
export type * from './state.ts'
export { readSysctl, sysctlPath, writeSysctl } from './sysctl.ts'
export {
  parseWireguardDump,
  renderWireguardConfig,
  resetWireguardPeers,
  showWireguard,
  syncWireguardCommand,
  wireguardPublicKey,
} from './wireguard.ts'
