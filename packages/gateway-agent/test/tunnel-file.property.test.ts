/**
 * Properties of the wg-quick parser: files as providers write them parse to what they were made from, whatever the hand
 * that wrote them; files that were damaged parse too or are refused with line and reason, and no answer shows a key.
 */
import { UserError } from '@vpn-gateway/config'
import { CommandError, createRunner, missingBinaries, renderWireguardConfig } from '@vpn-gateway/kernel'
import fc from 'fast-check'
import { isIP } from 'node:net'
import { describe, expect, test } from 'vitest'
import { parseTunnelFile } from '../src/tunnel-file.ts'
import { joinEndpoint } from '../src/endpoint.ts'
import { block, character, line, several } from './damaged-file.ts'
import { file, same, secretsOf, tunnelOf, write } from './provider-file.ts'
import { checkProblems, piecesOf } from './refusal.ts'

// Tens of thousands of files are parsed; five seconds are not enough where others use the processor too.
const patience = 120_000

/** Problems of a text; none when it parses. Anything thrown that is no `UserError` goes on. */
function problemsOf(text: string): readonly string[] {
  try {
    parseTunnelFile(text, 'wg.conf')
    return []
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    return error.problems
  }
}

const noWg = (await missingBinaries(['wg'])).length > 0

describe('files as providers write them', () => {
  test('parse to what they were made from', { timeout: patience }, () => {
    fc.assert(
      fc.property(file, ([said, by]) => {
        expect(parseTunnelFile(write(said, by), 'wg.conf')).toEqual(tunnelOf(said))
      }),
      { numRuns: 4000 },
    )
  })

  test.skipIf(noWg)('are rendered in words that wg itself reads', { timeout: patience }, async () => {
    const runner = createRunner()
    /** What wg says to a configuration, which it reads to the end before it looks for the device; there is none. */
    const refusal = (stdin: string) =>
      runner.run({ argv: ['sh', '-c', 'cat | wg setconf vg-absent /proc/self/fd/0'], stdin }).then(
        () => 'there is such a device',
        (error: unknown) => (error instanceof CommandError ? error.stderr : Promise.reject(error)),
      )
    expect(await refusal('[Interface]\nPrivateKey = no\n')).toContain('parsing error')
    await fc.assert(
      fc.asyncProperty(file, async ([said, by]) => {
        const tunnel = parseTunnelFile(write(said, by), 'wg.conf')
        const peers = tunnel.peers.map(({ endpoint, ...peer }) =>
          // wg would resolve a host name.
          endpoint === undefined || isIP(endpoint.host) === 0
            ? peer
            : { ...peer, endpoint: joinEndpoint(endpoint.host, endpoint.port) },
        )
        expect(await refusal(renderWireguardConfig({ ...tunnel, name: 'wg0', peers }))).toMatch(
          /^Unable to modify interface: .*\n$/,
        )
      }),
      { numRuns: 100 },
    )
  })

  test('Address and DNS are lists that blanks separate too, as in wg-quick', () => {
    const [said, by] = fc.sample(file, { numRuns: 1, seed: 1 })[0] ?? []
    if (said === undefined || by === undefined) throw new Error('no sample')
    const text = write(
      { ...said, addresses: [same('10.0.0.2 fd00::2')], dns: [same('10.0.0.1 ,  home.example,')] },
      { ...by, oneEach: true },
    )
    expect(parseTunnelFile(text, 'wg.conf')).toMatchObject({
      addresses4: ['10.0.0.2'],
      addresses6: ['fd00::2'],
      dns: ['10.0.0.1', 'home.example'],
    })
  })
})

describe('damaged files parse, or are refused with line and reason and nothing of a key', () => {
  /** Damaged files of each generated one: making one takes longer than to damage and to parse it. */
  const each = 100
  test.each([
    ['a character', character, 320],
    ['a block', block, 320],
    ['a line', line, 320],
    ['several', several, 40],
  ])('%s', { timeout: patience }, (_name, damage, numRuns) => {
    let [parsed, refused] = [0, 0]
    fc.assert(
      fc.property(file, fc.array(damage, { minLength: each, maxLength: each }), ([said, by], damages) => {
        const original = write(said, by)
        const secrets = secretsOf(said).flatMap(piecesOf)
        for (const change of damages) {
          const text = change(original)
          const problems = problemsOf(text)
          if (problems.length === 0) parsed += 1
          else {
            refused += 1
            checkProblems(problems, text, secrets)
          }
        }
      }),
      { numRuns },
    )
    // The property says nothing if every damaged file is refused, or none.
    expect(parsed).toBeGreaterThan(numRuns / 10)
    expect(refused).toBeGreaterThan(numRuns * 10)
  })

  test('what is no text at all gives few problems, whatever its size', { timeout: patience }, () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.nat(3000), (piece, times) => {
        const text = piece.repeat(times)
        const problems = problemsOf(text)
        checkProblems(problems, text, [])
        expect(problems.length).toBeGreaterThan(0)
        expect(problems.length).toBeLessThanOrEqual(20)
      }),
      { numRuns: 500 },
    )
  })
})
