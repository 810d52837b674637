/** Supervision of real processes. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

test('a program that is not there fails the start', async () => {
  await expect(supervise(['no-such-daemon']).start(signal)).rejects.toThrow(/no-such-daemon/)
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
