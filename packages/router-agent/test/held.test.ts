import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { isHeld } from '../src/held.ts'

test('an address is held if its kernel answers, also where nobody listens', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  expect(await isHeld('127.0.0.1', port)).toBe(true)
  await new Promise((resolve) => server.close(resolve))
  expect(await isHeld('127.0.0.1', port)).toBe(true)
  // The kernel refuses to begin a connection there.
  expect(await isHeld('255.255.255.255', port)).toBe(false)
})
