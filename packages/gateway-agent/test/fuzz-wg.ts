/**
 * Tunnel files through the real wg(8) into a real WireGuard device and back, many at a time: what the parser made of them,
 * and the files themselves, which wg reads in its own way. The device is wireguard-go's, in a network namespace of its own,
 * so that neither a kernel with WireGuard nor a virtual machine is needed; root is.
 */
import { UserError } from '@vpn-gateway/config'
import { createRunner, parseWireguardDump, renderWireguardConfig, type WireguardSpec } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fuzzClass, type FuzzClass } from '../../../test/fuzz/src/class.ts'
import { parseTunnelFile } from '../src/tunnel-file.ts'
import { block, character, line, several } from './damaged-file.ts'
import { file, secretsOf, write } from './provider-file.ts'
import { checkProblems, piecesOf } from './refusal.ts'
import { comparable, nameless, specOf } from './tunnel-spec.ts'

const device = 'vg-fuzz'
const runner = createRunner()
let directory = ''

/** Files of one input: making a process takes longer than all else. */
const each = 50

interface Written {
  text: string
  /** Whether it is as providers write them. */
  whole: boolean
  secrets: string[]
}
const damages = fc.oneof(fc.constant(undefined), character, block, line, several)
const written: fc.Arbitrary<Written> = fc.tuple(file, damages).map(([[said, by], damage]) => {
  const text = write(said, by)
  return { text: damage?.(text) ?? text, whole: damage === undefined, secrets: secretsOf(said) }
})
const files = fc.array(written, { minLength: each, maxLength: each })

/** How many files there were, were valid, and of these were taken by wg as they were. */
let [seen, valid, takenAsTheyWere] = [0, 0, 0]

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
    console.error(`  ${seen} files: ${valid} valid, ${takenAsTheyWere} of them taken by wg as they were`)
  }
}

/** A valid file and what the device should hold; undefined for one that is refused as it should be. */
function read({ text, whole, secrets }: Written): { text: string; whole: boolean; spec: WireguardSpec } | undefined {
  try {
    return { text, whole, spec: specOf(parseTunnelFile(text, 'wg.conf'), device) }
  } catch (error) {
    if (!(error instanceof UserError) || whole) throw error
    checkProblems(error.problems, text, secrets.flatMap(piecesOf))
    return undefined
  }
}

/** Keys that wg-quick(8) keeps for itself. */
const quick = new Set(['address', 'dns', 'mtu', 'table', 'saveconfig'])

/**
 * What wg-quick(8) would hand to wg(8) of a file, but for host names, which have the address that `specOf` makes up: wg
 * would resolve them, and takes for one whatever has a blank in it that is none to wg, as U+FEFF.
 */
function forWg(text: string): string {
  const kept = text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((raw) => {
      const [key = '', value = ''] = raw.split('#', 1).join('').replaceAll(/\s/g, '').split('=')
      if (quick.has(key.toLowerCase())) return []
      if (key.toLowerCase() !== 'endpoint') return [raw]
      const colon = value.lastIndexOf(':')
      const named = isIP(value.slice(0, colon).replace(/^\[|\]$/g, '')) === 0
      if (named) return [`Endpoint = ${nameless}${value.slice(colon)}`]
      return [Buffer.byteLength(raw) === raw.length ? raw : `Endpoint = ${value}`]
    })
  return `${kept.join('\n')}\n`
}

let turn: Promise<void> = Promise.resolve()

/** One after the other: there is one device. */
function check(all: readonly Written[]): Promise<void> {
  turn = turn.catch(() => undefined).then(() => configure(all))
  return turn
}

async function configure(all: readonly Written[]): Promise<void> {
  const found = all.flatMap((one) => read(one) ?? [])
  await Promise.all(
    found.flatMap(({ text, spec }, index) => [
      writeFile(join(directory, `${index}.read`), renderWireguardConfig(spec)),
      writeFile(join(directory, `${index}.as-it-was`), forWg(text)),
    ]),
  )
  const asItWas = `if wg setconf ${device} "$0/$n.as-it-was" 2>/dev/null; then wg show ${device} dump; fi`
  const asRead = `wg setconf ${device} "$0/$n.read"; wg show ${device} dump`
  const script = `for ((n = 0; n < ${found.length}; n++)); do echo ==; ${asItWas}; echo ==; ${asRead}; done`
  const held = (await runner.run({ argv: ['bash', '-e', '-c', script, directory], timeoutMs: 100_000 }))
    .split('==\n')
    .slice(1)
  found.forEach(({ whole, spec }, index) => {
    const original = held[2 * index] ?? ''
    // Damage may put a blank that is none to wg into a key or a value.
    if (original === '' && whole) throw new Error('wg refuses a file as providers write it')
    if (original !== '') mustHold(spec, original, 'the file itself')
    mustHold(spec, held[2 * index + 1] ?? '', 'what was read')
    if (original !== '') takenAsTheyWere += 1
  })
  seen += all.length
  valid += found.length
}

function mustHold(spec: WireguardSpec, dump: string, by: string): void {
  const found = parseWireguardDump(dump, device)
  const wanted = JSON.stringify(comparable({ ...spec, listenPort: spec.listenPort ?? found.listenPort }))
  const got = JSON.stringify(comparable(found))
  if (got !== wanted) throw new Error(`by ${by} the device holds ${got}, expected ${wanted}`)
}

/**
 * Fifty files an input, as providers write them or damaged: what parses is what a device holds that wg configured by it, and
 * by the file itself where wg takes it; what does not is refused with line and reason.
 */
export const classes: readonly FuzzClass[] = [
  fuzzClass({
    name: 'tunnel files through wg, 50 each',
    inputs: files,
    prepare: startDevice,
    check,
    patience: 120_000,
  }),
]
