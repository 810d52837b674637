/** What every agent reads by this package: arguments, environment, lines of named pipes. */
import { UserError } from '@vpn-gateway/config'
import { splitLines } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { damaged, textLike } from '../../../test/fuzz/src/inputs.ts'
import { mustBeLines, mustBeNumbers } from '../../../test/fuzz/src/must.ts'
import { gatewayOptions } from '../../gateway-agent/src/options.ts'
import { nodeOptions } from '../../node-agent/src/options.ts'
import { routerOptions } from '../../router-agent/src/options.ts'
import { parsePidFile } from '../src/daemon.ts'
import { parseStat } from '../src/process.ts'
import { httpClasses } from './fuzz-http.ts'
import { Answer, commonOptions, parseListen, readOptions, type OptionDeclarations } from '../src/options.ts'

const agents: readonly [string, OptionDeclarations][] = [
  ['gateway-agent', { ...commonOptions, ...gatewayOptions }],
  ['router-agent', { ...commonOptions, ...routerOptions }],
  ['node-agent', { ...commonOptions, ...nodeOptions }],
]

/** Whatever an agent is given it starts, answers, or names every problem on a line. */
function read(args: readonly string[], env: Readonly<Record<string, string | undefined>>): void {
  for (const [program, declarations] of agents) {
    try {
      const values = readOptions(declarations, { program, version: '0', args, env })
      for (const key of Object.keys(declarations)) if (typeof values[key] !== 'string') throw new TypeError(`no ${key}`)
      if (parseListen(values['listen'] ?? '') === undefined) throw new TypeError('nowhere to listen')
    } catch (error) {
      if (error instanceof Answer) continue
      if (!(error instanceof UserError)) throw error
      mustBeLines(error.problems)
    }
  }
}

const flags = ['--config', '--name', '--listen', '--run-dir', '--log-level', '--tunnel', '--interface', '--remove']
const values = ['system.yaml', 'gateway-0', '0.0.0.0:9801', '[::]:9801', '/run/vpn-gateway', 'info', 'net1', 'yes']
const value = fc.oneof(damaged(values), fc.constantFrom(...values), fc.string({ unit: 'binary', maxLength: 30 }))
const variables = [...new Set(agents.flatMap(([, all]) => Object.values(all).flatMap(({ env }) => env ?? [])))]

const stat =
  '4711 (keepalived (x)) S 1 4711 4711 0 -1 4194560 1100 0 0 0 12 34 0 0 20 0 1 0 123456 1000000 300 18446744073709551615\n'

export const classes: readonly FuzzClass[] = [
  ...httpClasses,
  fuzzClass({
    name: 'arguments',
    inputs: fc.array(
      fc.oneof(
        fc.constantFrom(...flags),
        fc.constantFrom('--', '-', '--=', '--help=1', '-x', '--no-config'),
        damaged(flags),
        fc.tuple(fc.constantFrom(...flags), value).map(([flag, given]) => `${flag}=${given}`),
        value,
      ),
      { maxLength: 12 },
    ),
    check: (args) => read(args, { VPN_GATEWAY_CONFIG: 'a', VPN_GATEWAY_NAME: 'b', VPN_GATEWAY_LISTEN: ':1' }),
  }),
  fuzzClass({
    name: 'environment variables',
    inputs: fc.dictionary(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...variables) }, { weight: 1, arbitrary: fc.string() }),
      fc.oneof({ weight: 50, arbitrary: value }, { weight: 1, arbitrary: textLike(values) }),
      { maxKeys: 14 },
    ),
    check: (env) => read([], env),
  }),
  fuzzClass({
    name: 'lines of a named pipe',
    inputs: fc.array(textLike(['INSTANCE "egress" MASTER 250\nINSTANCE "egress" BACKUP 250\n']), { maxLength: 5 }),
    check(parts) {
      let told = 0
      const take = splitLines(100, (line) => {
        told += 1
        if (line.length > 100 || line.includes('\n')) throw new Error('no line')
      })
      for (const part of parts) take(part)
      if (told !== parts.join('').split('\n').length - 1) throw new Error('a line is missing')
    },
  }),
  fuzzClass({
    name: "a daemon's pid file and /proc/PID/stat",
    inputs: fc.tuple(textLike(['4711 123456\n']), textLike([stat])),
    check([file, text]) {
      const held = parsePidFile(file)
      if (held !== undefined) mustBeNumbers([held.pid])
      // Whom signals go to: 0 would be this process' own group, a negative number another one.
      if (held !== undefined && !(held.pid > 0)) throw new Error(`no process: ${held.pid}`)
      const seen = parseStat(text)
      if (seen !== undefined) mustBeNumbers([seen.group, seen.ticks])
    },
  }),
]
