/** What `vpn-gateway check` says, and what each wrong command line is answered with. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseSystem, UserError } from '@vpn-gateway/config'
import { commandNames } from '../src/command-line.ts'
import { run } from '../src/run.ts'
import { warnings } from '../src/warnings.ts'

const path = new URL('../../../deploy/vpn-gateway.yaml', import.meta.url).pathname
const main = new URL('../src/main.ts', import.meta.url).pathname
const example = readFileSync(path, 'utf8')

async function problemsOf(...args: string[]): Promise<readonly string[]> {
  const error: unknown = await run(args).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof UserError) return error.problems
  throw new Error(`expected a UserError, not ${String(error)}`)
}

/** Warnings of the example with one text replaced by another; the replacement must have been possible. */
function warningsWith(from: string, to: string): string[] {
  expect(example).toContain(from)
  return warnings(parseSystem(example.replace(from, to), 'system.yaml'))
}

test('a right file gives its address plan, within 80 columns, and no warning', async () => {
  const { output, notices } = await run(['check', path])
  const [, ...lines] = output.split('\n')
  expect(notices).toEqual([])
  expect(lines).toContain('  clients        192.168.50.1-192.168.50.239 (239)')
  expect(lines).toContain('  virtual IP     192.168.50.240')
  expect(lines).toContain('forwards         web: tcp 45678 to 10.96.0.100:8080')
  expect(output).toContain('0.0.0.0/5 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3')
  expect(lines.filter((line) => line.length > 80)).toEqual([])
})

test('a leased port is shown with who lends it', async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'vpn-gateway-check-')), 'system.yaml')
  await writeFile(file, example.replace('    port: 45678', '    lease: { protocol: nat-pmp }'))
  const { output } = await run(['check', file])
  expect(output.split('\n')).toContain('forwards         web: tcp leased from 10.2.0.1 to 10.96.0.100:8080')
})

test('everything that is wrong is said at once, the file and the field first', async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'vpn-gateway-check-')), 'system.yaml')
  await writeFile(file, example.replace('mtu: 1450', 'mtu: 1460').replace('vip: 192.168.50.240', 'vip: 192.168.51.240'))
  expect(await problemsOf('check', file)).toEqual([
    `${file}: gatewayNetwork.vip: 192.168.51.240 is outside gatewayNetwork.subnet 192.168.50.0/24`,
    `${file}: routerNetwork.mtu: 1460 is more than underlay.mtu 1500 less 50 bytes of VXLAN: expected at most 1450`,
  ])
  expect(await problemsOf('render', file)).toHaveLength(2)
})

test('a wrong value hides no contradiction, no tunnel file that is wrong or missing, and no warning', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-check-'))
  const file = join(directory, 'system.yaml')
  await writeFile(file, example.replace('vni: 51', 'vni: 50').replace('scheduler: wlc', 'scheduler: wlx'))
  await writeFile(join(directory, 'gateway-0.conf'), '[Interface]\n')
  const asked = ['--tunnels', directory, '--gateways', '2', '--cluster-cidr', '172.20.0.0/16']
  const problems = await problemsOf('check', file, ...asked)
  expect(problems.slice(0, 2)).toEqual([
    expect.stringContaining('router.scheduler: "wlx"'),
    expect.stringContaining('routerNetwork.vxlan.vni: 50 is gatewayNetwork.vxlan.vni too'),
  ])
  expect(problems[2]).toContain('gateway-0.conf:1: [Interface]')
  expect(problems.slice(-2)).toEqual([
    `--tunnels: gateway-1.conf: missing in ${directory}: expected one for each of 2 gateways`,
    expect.stringMatching(/^warning: .*: intranet: 172\.20\.0\.0\/16 of the cluster is not within/),
  ])
})

test('where it is not known how many gateways there will be, no tunnel file is missing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-check-'))
  const file = join(directory, 'system.yaml')
  await writeFile(file, example.replace('gateways: 192.168.50.248-', 'gateways: 192.168.50.2480-'))
  expect(await problemsOf('check', file, '--tunnels', directory)).toEqual([
    expect.stringContaining('gatewayNetwork.gateways: "192.168.50.2480-192.168.50.254": expected a range'),
  ])
})

test('networks of the cluster that are outside the intranet are warned of', async () => {
  const { notices } = await run(['check', path, '--cluster-cidr', '10.96.0.0/12', '--cluster-cidr=172.20.0.0/16'])
  expect(notices).toEqual([
    `warning: ${path}: intranet: 172.20.0.0/16 of the cluster is not within one of its networks: client pods would look for it on the internet`,
  ])
  expect(warnings(parseSystem(example, 'system.yaml'), ['fd00:10::/64'])).toEqual([
    'the cluster has IPv6, fd00:10::/64: client pods would use theirs for the internet, outside of the tunnels',
  ])
  // A network that begins within the intranet and ends beyond it.
  expect(warnings(parseSystem(example, 'system.yaml'), ['10.0.0.0/7'])).toHaveLength(1)
})

test.each([
  [
    'nodes outside the intranet',
    'peers: { dns: node-agent.vpn-gateway.svc }',
    'peers: { addresses: [10.1.1.1, 172.30.0.1] }',
    'underlay.peers.addresses[1]: 172.30.0.1 is outside the intranet: client pods would look for this node on the internet',
  ],
  [
    'a tunnel that leaves no room for WireGuard',
    'tunnel:\n  mtu: 1420',
    'tunnel:\n  mtu: 1480',
    'tunnel.mtu: 1480 is more than underlay.mtu 1500 less 60 bytes of WireGuard: full packets would leave in fragments; expected at most 1440',
  ],
  [
    'a window that one late answer exceeds',
    'tunnel:\n  mtu: 1420',
    'tunnel:\n  mtu: 1420\n  probe: { interval: 2, window: 2.5 }',
    'tunnel.probe.window: 2.5 s is less than tunnel.probe.interval 2 s and tunnel.probe.timeout 1 s together: one late answer would take the tunnel down',
  ],
  [
    'one gateway behind routers',
    'gateways: 192.168.50.248-192.168.50.254',
    'gateways: 192.168.50.248-192.168.50.248',
    'gatewayNetwork.gateways: has one address: routers have no other gateway to turn to when it dies',
  ],
])('%s: a warning', (_name, from, to, expected) => {
  expect(warningsWith(from, to)).toEqual([expected])
})

test.each([
  [['chekc', 'file'], ['"chekc": unknown command: expected check?']],
  [['frobnicate'], ['"frobnicate": unknown command: expected check, render, plan, status or completion']],
  [['check'], ['FILE: missing: expected the system file (YAML)']],
  [['check', 'a', 'b'], ['"b": expected one FILE']],
  [
    ['render', 'a', '--ouput', 'b'],
    ['--ouput: unknown option: expected --output?', '"b": expected one FILE'],
  ],
  [['plan', 'a'], ['--agent: missing: expected node, gateway or router']],
  [['plan', 'a', '--agent', 'nodes'], ['--agent: "nodes": expected node, gateway or router']],
  [
    ['status', '--agent', 'gateway-0', '--json=x'],
    ['--json: expected no value', '--agent: "gateway-0": expected http://HOST:PORT'],
  ],
  [['completion'], ['SHELL: missing: expected bash, zsh or fish']],
  [['completion', 'tcsh'], ['"tcsh": expected bash, zsh or fish']],
  [
    ['check', path, '--tunnels', '/no/such'],
    ['--tunnels: /no/such: ENOENT: expected a directory with gateway-0.conf and so on'],
  ],
  [
    ['render', path, '--output', '/proc/no/such'],
    ['--output: /proc/no/such: cannot be made there: expected a directory to write to'],
  ],
  [['render', 'a', '--output'], ['--output: missing value']],
  [['render', 'a', '--gateways', 'x'], ['--gateways: "x": expected a whole number from 1']],
  [
    ['check', 'a', '--cluster-cidr', '10.0.0.1/8'],
    ['--cluster-cidr: "10.0.0.1/8": has host bits set: expected 10.0.0.0/8'],
  ],
  [
    ['check', 'a', '--cluster-cidr', 'fd00::/129'],
    ['--cluster-cidr: "fd00::/129": expected an IPv6 network as ADDRESS/PREFIX'],
  ],
  [['check', '/no/such'], ['/no/such: no such file: expected the system file (YAML)']],
  [
    ['render', path, '--gateways', '8'],
    [`--gateways: 8: expected at most 7, the addresses of gatewayNetwork.gateways in ${path}`],
  ],
  [['render', path, '--output', path], [`--output: ${path}: is no directory: expected a directory to write to`]],
] as const)('%j is refused', async (args, expected) => {
  expect(await problemsOf(...args)).toEqual(expected)
})

test.each([[[]], [['--help']], ...commandNames.map((name) => [[name, '--help']])])(
  '%j teaches, within 80 columns',
  async (args) => {
    const { output } = await run(args)
    expect(output).toMatch(/^usage: vpn-gateway /)
    expect(output).toContain('Exit codes: ')
    expect(output.split('\n').filter((line) => line.length > 80)).toEqual([])
  },
)

test('the version is that of the release', async () => {
  const release = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  expect(await run(['--version'])).toEqual({ output: `vpn-gateway ${release.version}\n`, notices: [] })
})

test.each([
  ['a right file', ['check', path], 0, /nothing is wrong/, /^$/],
  ['a wrong command', ['chekc'], 2, /^$/, /^vpn-gateway: "chekc": unknown command: expected check\?\n$/],
  ['no such file', ['render', '/no/such'], 2, /^$/, /^vpn-gateway: \/no\/such: no such file: .*\n$/],
] as const)(
  'the program ends with its exit code and without a stack trace: %s',
  (_name, args, code, output, notice) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
      encoding: 'utf8',
      timeout: 30_000,
    })
    expect(status).toBe(code)
    expect(stdout).toMatch(output)
    expect(stderr).toMatch(notice)
  },
)

test('through npm, paths are relative to where the user typed them', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vpn-gateway-cli-'))
  await writeFile(join(directory, 'system.yaml'), example)
  const args = [main, 'render', 'system.yaml', '--output', 'manifests']
  const { status, stderr } = spawnSync(process.execPath, args, {
    cwd: '/',
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, npm_lifecycle_event: 'vpn-gateway', INIT_CWD: directory },
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  expect(existsSync(join(directory, 'manifests/kustomization.yaml'))).toBe(true)
  await rm(directory, { recursive: true })
})

test('whoever reads the output may stop reading', () => {
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', '"$0" "$1" render "$2" | head -n 1', process.execPath, main, path],
    { timeout: 30_000 },
  )
  expect([status, String(stderr)]).toEqual([0, ''])
})
