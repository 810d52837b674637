/**
 * Tunnel files through the real wg(8) into a real WireGuard device and back, many at a time. The device is wireguard-go's, in
 * a network namespace of its own, so that neither a kernel with WireGuard nor a virtual machine is needed; root is.
 */
import { UserError } from '@vpn-gateway/config'
import { createRunner, parseWireguardDump, renderWireguardConfig, type WireguardSpec } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { parseTunnelFile } from '../src/tunnel-file.ts'
import { block, character, line, several } from './damaged-file.ts'
import { file, write } from './provider-file.ts'
import { comparable, specOf } from './tunnel-spec.ts'

const device = 'vg-fuzz'
const runner = createRunner()
let directory = ''

/** Files of one input: making a process takes longer than all else. */
const each = 50

const damages = fc.oneof(
  fc.constant((text: string) => text),
  character,
  block,
  line,
  several,
)
const texts = fc.array(
  fc.tuple(file, damages).map(([[said, by], damage]) => damage(write(said, by))),
  { minLength: each, maxLength: each },
)

async function startDevice(): Promise<() => Promise<void>> {
  directory = await mkdtemp(join(tmpdir(), 'fuzz-wg-'))
  const child = spawn('unshare', ['--net', 'wireguard-go', '-f', device], {
    env: { ...process.env, LOG_LEVEL: 'verbose' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })
  const ready = new Promise<void>((resolve) => {
    lines.on('line', (said) => said.includes('UAPI listener started') && resolve())
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`wireguard-go ended with ${String(code)}: it needs root and /dev/net/tun`)
  })
  await Promise.race([ready, ended])
  return async () => {
    child.kill('SIGTERM')
    await ended.catch(() => undefined)
    await rm(directory, { recursive: true })
  }
}

function parsed(text: string): WireguardSpec[] {
  try {
    return [specOf(parseTunnelFile(text, 'wg.conf'), device)]
  } catch (error) {
    if (error instanceof UserError) return []
    throw error
  }
}

let turn: Promise<void> = Promise.resolve()

/** One after the other: there is one device. */
function check(all: readonly string[]): Promise<void> {
  turn = turn.catch(() => undefined).then(() => configure(all))
  return turn
}

async function configure(all: readonly string[]): Promise<void> {
  const specs = all.flatMap(parsed)
  await Promise.all(specs.map((spec, index) => writeFile(join(directory, `${index}`), renderWireguardConfig(spec))))
  const step = `echo ==; wg setconf ${device} "$0/$n"; wg show ${device} dump`
  const script = `for ((n = 0; n < ${specs.length}; n++)); do ${step}; done`
  const held = (await runner.run({ argv: ['bash', '-e', '-c', script, directory] })).split('==\n').slice(1)
  specs.forEach((spec, index) => {
    const found = parseWireguardDump(held[index] ?? '', device)
    const wanted = JSON.stringify(comparable({ ...spec, listenPort: spec.listenPort ?? found.listenPort }))
    const got = JSON.stringify(comparable(found))
    if (got !== wanted) throw new Error(`the device holds ${got}, expected ${wanted}`)
  })
}

/** Fifty files an input, as providers write them or damaged: what parses is what a device holds that wg configured by it. */
export const throughWg: FuzzClass = fuzzClass({
  name: 'tunnel files through wg, 50 each',
  inputs: texts,
  prepare: startDevice,
  check,
})
