import type { WireguardDevice } from '@vpn-gateway/kernel'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createRecoverer } from '../src/recoverer.ts'
import type { Tunnel } from '../src/tunnel-file.ts'

const peer = (publicKey: string) => ({ publicKey, endpoint: { host: '198.51.100.1', port: 51820 }, allowedIps: [] })
const tunnel = (...keys: string[]) => ({ peers: keys.map(peer) }) as unknown as Tunnel

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** What is done in the first seconds after a tunnel went down, in order; `change` comes after four of them. */
async function doneWith(
  files: Tunnel[],
  addresses: number,
  change = () => {},
  place = () => '198.51.100.1:51820',
): Promise<string[]> {
  const done: string[] = []
  let [file, address, received] = [0, 0, 1]
  const current = () => files[file] ?? tunnel()
  const recoverer = createRecoverer({
    tunnel: {
      current,
      file: () => `${file}.conf`,
      files: () => files.map((_, index) => `${index}.conf`),
      advance: () => void done.push(`file ${++file}`),
    },
    endpoints: {
      current: () => new Map([['a', place()]]),
      resolve: async () => false,
      advance: () => address < addresses - 1 && done.push(`address ${++address}`) > 0,
      alternatives: () => addresses - 1,
      forgetTried: () => undefined,
    },
    device: {
      read: async () =>
        ({
          peers: current().peers.map(({ publicKey }) => ({ publicKey, latestHandshake: 0, received: received++ })),
        }) as unknown as WireguardDevice,
    },
    down: () => true,
    applied: async () => void done.push('applied'),
    resetPeers: async () => void done.push('reset'),
    log: { warn: () => undefined },
  })
  await recoverer.start(new AbortController().signal)
  // An endpoint is given six.
  await vi.advanceTimersByTimeAsync(4000)
  change()
  await vi.advanceTimersByTimeAsync(5000)
  await recoverer.stop(AbortSignal.timeout(1000))
  return done
}

test('another address of the same peer is asked for a handshake at once', async () => {
  expect((await doneWith([tunnel('a')], 2)).slice(0, 5)).toEqual(['reset', 'applied', 'address 1', 'applied', 'reset'])
})

test('another peer shakes hands by itself', async () => {
  expect(await doneWith([tunnel('a'), tunnel('b')], 1)).toEqual(['reset', 'applied', 'file 1', 'applied'])
})

test('a file that is changed meanwhile has its turn from the beginning, before another one', async () => {
  const files = [tunnel('a'), tunnel('b')]
  const change = () => void (files[0] = tunnel('c'))
  expect(await doneWith(files, 1, change)).toEqual(['reset', 'applied', 'reset', 'applied'])
})

test('an address that the resolver gave late is asked for a handshake before another file has its turn', async () => {
  let place = '198.51.100.1:51820'
  const change = () => void (place = '198.51.100.2:51820')
  const done = await doneWith([tunnel('a'), tunnel('b')], 1, change, () => place)
  expect(done).toEqual(['reset', 'applied', 'reset', 'applied'])
})
