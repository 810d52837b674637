import { expect, test } from 'vitest'
import {
  CommandError,
  createRunner,
  missingBinaries,
  readSysctl,
  renderWireguardConfig,
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

test('what a program repeats of a secret input is left out of its error', async () => {
  const key = 'YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk'
  const script = 'while read -r line; do echo "$line" >&2; done; exit 1'
  const stdin = `Key is not the correct length or format: \`${key}'\nPrivateKey ${key}=\nConfiguration parsing error\n`
  const error = await failure(runner.run({ argv: ['sh', '-c', script], stdin, secret: true }))
  expect(error.stderr).toBe(
    'Key is not the correct length or format: [redacted]\nPrivateKey [redacted]\nConfiguration parsing error\n',
  )
  expect(`${error.message}${error.stack}${JSON.stringify(error)}`).not.toContain(key.slice(0, 8))
})

test('public keys are those that `wg pubkey` prints', () => {
  expect(wireguardPublicKey('YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=')).toBe(
    'Y2FD6uTgrq+/bbBAXCNOtE+PGk8Papoh7qaWBpQUXn0=',
  )
  expect(() => wireguardPublicKey('c2hvcnQ=')).toThrow(/32 bytes/)
})

test('a peer without allowed IPs has no line for them: wg refuses an empty one', () => {
  const peer = { publicKey: 'Y2FD6uTgrq+/bbBAXCNOtE+PGk8Papoh7qaWBpQUXn0=', allowedIps: [] }
  const text = renderWireguardConfig({ name: 'wg0', privateKey: 'private', publicKey: 'public', peers: [peer] })
  expect(text).toContain(`[Peer]\nPublicKey = ${peer.publicKey}\n`)
  expect(text).not.toContain('AllowedIPs')
})

test('a private key is written as the kernel keeps it, which is the same key', () => {
  const random = Buffer.alloc(32, 0xff).toString('base64')
  const text = renderWireguardConfig({ name: 'wg0', privateKey: random, publicKey: 'public', peers: [] })
  const written = /^PrivateKey = (.*)$/m.exec(text)?.[1] ?? ''
  expect(Buffer.from(written, 'base64').toString('hex')).toBe(`f8${'ff'.repeat(30)}7f`)
  expect(wireguardPublicKey(written)).toBe(wireguardPublicKey(random))
  expect(renderWireguardConfig({ name: 'wg0', privateKey: written, publicKey: 'public', peers: [] })).toBe(text)
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
