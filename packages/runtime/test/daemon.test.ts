/** Supervision of real processes. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog, replaceFile, superviseDaemon, type DaemonOptions } from '@vpn-gateway/runtime'

let runDir: string
let cleanUp: (() => Promise<void>)[] = []
const log = createLog({ agent: 'test', name: 'test' }, 'silent')
const signal = new AbortController().signal

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'daemon-'))
})
afterEach(async () => {
  for (const clean of cleanUp) await clean()
  cleanUp = []
  rmSync(runDir, { recursive: true })
})

function supervise(argv: [string, ...string[]], more: Partial<DaemonOptions> = {}) {
  const daemon = superviseDaemon({ name: 'daemon', argv, runDir, log, ...more })
  cleanUp.push(() => daemon.stop(AbortSignal.timeout(2000)))
  return daemon
}

function alive(pid: number): boolean {
  try {
    // A zombie that nobody has waited for yet is not alive.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

test('a daemon that ends is started again, and the end is told', async () => {
  const ends: string[] = []
  const daemon = supervise(['sleep', '1000'], { onExit: (how) => ends.push(how) })
  await daemon.start(signal)
  const first = daemon.pid ?? 0
  process.kill(first, 'SIGKILL')
  await expect.poll(() => daemon.restarts, { timeout: 5000 }).toBe(1)
  await expect.poll(() => daemon.state).toBe('running')
  expect(ends).toEqual(['SIGKILL'])
  expect(daemon.pid).not.toBe(first)
})

test('what a killed daemon leaves behind does not keep the next one from starting', async () => {
  const lock = join(runDir, 'lock')
  const argv: [string, ...string[]] = ['sh', '-c', 'set -C; : >"$0" || exit 1; exec sleep 1000', lock]
  writeFileSync(lock, '')
  const daemon = supervise(argv, { leftovers: [lock] })
  await daemon.start(signal)
  await expect.poll(() => existsSync(lock)).toBe(true)
  process.kill(daemon.pid ?? 0, 'SIGKILL')
  await expect.poll(() => daemon.restarts, { timeout: 5000 }).toBe(1)
  await expect.poll(() => daemon.state).toBe('running')
  expect(daemon.lastExit).toBe('SIGKILL')
})

test('exit code 0 is a failure too, and one that keeps failing is crash-looping', async () => {
  const daemon = supervise(['true'])
  await daemon.start(signal)
  await expect.poll(() => daemon.state, { timeout: 10_000 }).toBe('crash-looping')
  expect(daemon.lastExit).toBe('exit code 0')
}, 15_000)

test('what it writes becomes log lines', async () => {
  const lines: string[] = []
  const parseLine = (line: string) => (lines.push(line), undefined)
  await supervise(['sh', '-c', 'echo one; echo two >&2; exec sleep 1000'], { parseLine }).start(signal)
  await expect.poll(() => lines).toEqual(['one', 'two'])
})

test('stopping ends it; one that does not listen is killed with its children', async () => {
  const daemon = supervise([
    'sh',
    '-c',
    'trap "" TERM; sleep 1000 & echo $! >"$0"; wait; wait; sleep 1000',
    join(runDir, 'child'),
  ])
  await daemon.start(signal)
  const child = () => Number(execFileSync('cat', [join(runDir, 'child')], { stdio: ['ignore', 'pipe', 'ignore'] }))
  await expect
    .poll(() => {
      try {
        return child()
      } catch {
        return 0
      }
    })
    .toBeGreaterThan(0)
  const pids = [daemon.pid ?? 0, child()]
  await daemon.stop(AbortSignal.timeout(300))
  await expect.poll(() => pids.map(alive)).toEqual([false, false])
})

test('children that outlive it are ended, also before the next one starts', async () => {
  const script = 'sleep 1000 & echo $! >>"$0"; trap "exit 0" TERM; wait'
  const daemon = supervise(['sh', '-c', script, join(runDir, 'children')])
  const children = () => readFileSync(join(runDir, 'children'), 'utf8').trim().split('\n').map(Number)
  await daemon.start(signal)
  await expect.poll(() => existsSync(join(runDir, 'children'))).toBe(true)
  process.kill(daemon.pid ?? 0, 'SIGKILL')
  await expect.poll(() => children().length, { timeout: 5000 }).toBe(2)
  expect(children().map(alive)).toEqual([false, true])
  await daemon.stop(AbortSignal.timeout(2000))
  expect(children().map(alive)).toEqual([false, false])
})

test('stopping while it is being started again leaves nothing running', async () => {
  const daemon = supervise(['sh', '-c', 'echo $$ >>"$0"; exec sleep 1000', join(runDir, 'pids')])
  await daemon.start(signal)
  process.kill(daemon.pid ?? 0, 'SIGKILL')
  // The count goes up just before the launch.
  while (daemon.restarts === 0) await new Promise(setImmediate)
  await daemon.stop(AbortSignal.timeout(2000))
  expect(daemon.state).toBe('stopped')
  const pids = readFileSync(join(runDir, 'pids'), 'utf8').trim().split('\n').map(Number)
  expect(pids.map(alive)).not.toContain(true)
})

test('the next agent takes over a running daemon, reads its output, and notices its end', async () => {
  const script = join(runDir, 'earlier.ts')
  const runtime = new URL('../src/index.ts', import.meta.url).pathname
  writeFileSync(
    script,
    `import { createLog, superviseDaemon } from '${runtime}'
     const log = createLog({ agent: 'test', name: 'test' }, 'silent')
     const daemon = superviseDaemon({ name: 'daemon', argv: ['sh', '-c', 'while :; do echo tick; sleep 0.2; done'], runDir: '${runDir}', log })
     await daemon.start(new AbortController().signal)
     console.log('up')
     setInterval(() => {}, 1000)`,
  )
  const earlier = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => earlier.stdout.once('data', resolve))
  earlier.kill('SIGKILL')
  const pid = Number(readFileSync(join(runDir, 'daemon.pid'), 'utf8').split(' ')[0])
  await expect.poll(() => earlier.signalCode).toBe('SIGKILL')
  expect(alive(pid)).toBe(true)

  let ticks = 0
  const starts: string[] = []
  const daemon = supervise(['sh', '-c', 'sleep 1000'], {
    parseLine: (line) => (line === 'tick' && (ticks += 1), undefined),
    onStart: (how) => starts.push(how),
  })
  await daemon.start(signal)
  expect(daemon.pid).toBe(pid)
  await expect.poll(() => ticks, { timeout: 5000 }).toBeGreaterThan(2)
  process.kill(-pid, 'SIGKILL')
  await expect.poll(() => starts, { timeout: 5000 }).toEqual(['adopted', 'started'])
})

test('a stale pid file is no running daemon', async () => {
  writeFileSync(join(runDir, 'daemon.pid'), `${process.pid} 1\n`)
  const daemon = supervise(['sleep', '1000'])
  await daemon.start(signal)
  expect(daemon.pid).not.toBe(process.pid)
})

/** Making a user and network namespace needs no root where the kernel allows it to everybody. */
function canUnshare(): boolean {
  return spawnSync('unshare', ['--user', '--map-root-user', '--net', 'true']).status === 0
}

test.skipIf(!canUnshare())('a daemon in another network namespace is not taken over', async () => {
  const other = spawn('unshare', ['--user', '--map-root-user', '--net', 'sleep', '1000'], { stdio: 'ignore' })
  cleanUp.push(async () => void other.kill('SIGKILL'))
  await expect.poll(() => readFileSync(`/proc/${other.pid}/comm`, 'utf8')).toBe('sleep\n')
  const stat = readFileSync(`/proc/${other.pid}/stat`, 'utf8')
  writeFileSync(join(runDir, 'daemon.pid'), `${other.pid} ${stat.split(') ')[1]?.split(' ')[19]}\n`)
  const daemon = supervise(['sleep', '1000'])
  await daemon.start(signal)
  expect(daemon.pid).not.toBe(other.pid)
  expect(alive(other.pid ?? 0)).toBe(true)
})

test('a program that is not there fails the start', async () => {
  await expect(supervise(['no-such-daemon']).start(signal)).rejects.toThrow(/no-such-daemon/)
})

test('two replacements of one file at a time do not disturb each other', async () => {
  const path = join(runDir, 'file')
  await Promise.all([replaceFile(path, 'one'), replaceFile(path, 'other')])
  expect(['one', 'other']).toContain(readFileSync(path, 'utf8'))
})

test('a file is replaced only when its check passes', async () => {
  const path = join(runDir, 'file')
  await replaceFile(path, 'old')
  const refuse = async (temporary: string) => {
    expect(readFileSync(temporary, 'utf8')).toBe('new')
    throw new Error('line 3: unknown keyword')
  }
  await expect(replaceFile(path, 'new', { check: refuse })).rejects.toThrow('line 3')
  expect(readFileSync(path, 'utf8')).toBe('old')
  await replaceFile(path, 'new', { check: async () => undefined })
  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(execFileSync('ls', [runDir]).toString()).toBe('file\n')
})
