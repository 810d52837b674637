import { expect, test } from 'vitest'
import {
  CommandError,
  createRunner,
  missingBinaries,
  readSysctl,
  sysctlPath,
  wireguardPublicKey,
} from '@vpn-gateway/kernel'

const runner = createRunner()

async function failure(promise: Promise<unknown>): Promise<CommandError> {
  return promise.then(
    () => expect.unreachable('should have failed'),
    (error: unknown) => {
      expect(error).toBeInstanceOf(CommandError)
      return error as CommandError
    },
  )
}

test('standard input goes in, standard output comes out whole', async () => {
  expect(await runner.run({ argv: ['cat'], stdin: 'a\nb\n' })).toBe('a\nb\n')
})

test('a failure keeps the exit code and the first line that was said', async () => {
  const error = await failure(runner.run({ argv: ['sh', '-c', 'echo "RTNETLINK answers: File exists" >&2; exit 2'] }))
  expect(error).toMatchObject({ exitCode: 2, kind: 'already-exists' })
  expect(error.message).toContain('RTNETLINK answers: File exists')
})

test('a missing program and a program that hangs are told apart', async () => {
  expect((await failure(runner.run({ argv: ['no-such-program'] }))).kind).toBe('missing-binary')
  expect((await failure(runner.run({ argv: ['sleep', '30'], timeoutMs: 50 }))).kind).toBe('timeout')
})

test('input never appears in an error', async () => {
  const error = await failure(runner.run({ argv: ['false'], stdin: 'secret-in-stdin' }))
  expect(`${error.message}${error.stack}${JSON.stringify(error)}`).not.toContain('secret-in-stdin')
})

test('public keys are those that `wg pubkey` prints', () => {
  expect(wireguardPublicKey('YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=')).toBe(
    'Y2FD6uTgrq+/bbBAXCNOtE+PGk8Papoh7qaWBpQUXn0=',
  )
  expect(() => wireguardPublicKey('c2hvcnQ=')).toThrow(/32 bytes/)
})

test('programs are looked up on PATH', async () => {
  expect(await missingBinaries(['sh', 'no-such-program'])).toEqual(['no-such-program'])
})

test('kernel parameters: dots separate, a slash form keeps dots in names, a missing one is undefined', async () => {
  expect(sysctlPath('net.ipv4.ip_forward')).toBe('/proc/sys/net/ipv4/ip_forward')
  expect(sysctlPath('net/ipv4/conf/eth0.100/rp_filter')).toBe('/proc/sys/net/ipv4/conf/eth0.100/rp_filter')
  expect(await readSysctl('net.ipv4.ip_forward')).toMatch(/^[01]$/)
  expect(await readSysctl('net.ipv4.no_such_key')).toBeUndefined()
})
