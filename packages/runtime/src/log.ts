import { pino, stdTimeFunctions, type Logger } from 'pino'

export type Log = Logger

/** JSON lines on standard output, one an event, with the agent's and the pod's name. */
export function createLog(bindings: { agent: string; name: string }, level: string): Log {
  return pino({
    level,
    base: bindings,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    // Nothing that holds a key is logged; should a field of such a name slip in, its value stays out.
    redact: { paths: ['*.privateKey', '*.presharedKey', 'privateKey', 'presharedKey'], censor: '[secret]' },
  })
}
