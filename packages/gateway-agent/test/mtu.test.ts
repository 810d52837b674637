import { expect, test } from 'vitest'
import { mtuNotices } from '../src/mtu.ts'

const fits = { tunnel: 1420, network: 1420, primary: { name: 'eth0', mtu: 1500 }, family: 4 } as const

test.each<[string, Partial<Parameters<typeof mtuNotices>[0]>, RegExp[]]>([
  ['a chain that fits', {}, []],
  [
    'a provider with a smaller tunnel',
    { tunnel: 1280 },
    [/MTU 1280 is less than gatewayNetwork\.mtu 1420.*1280 there/],
  ],
  [
    'a pod network with a smaller MTU',
    { primary: { name: 'eth0', mtu: 1450 } },
    [/more than eth0's 1450 less 60.*1390/],
  ],
  ['an endpoint with an IPv6 address, just fitting', { family: 6 }, []],
  ['one that no longer fits', { family: 6, tunnel: 1421 }, [/less 80 bytes.*1420/]],
])('%s', (_what, change, lines) => {
  expect(mtuNotices({ ...fits, ...change })).toEqual(lines.map((line) => expect.stringMatching(line) as string))
})
