import type { IpvsConnection } from '@vpn-gateway/kernel'
import { describe, expect, test } from 'vitest'
import { flowsDocument, parseFlowsQuestion } from '../src/flows.ts'

const connection = (clientPort: number, protocol = 'TCP'): IpvsConnection => ({
  protocol,
  client: '192.168.50.10',
  clientPort,
  destination: '203.0.113.10',
  destinationPort: 443,
  realServer: '192.168.50.248',
  realServerPort: 0,
  state: 'ESTABLISHED',
  expires: 897,
})

/** A table that tells how far it was read. */
function table(size: number): { rows: AsyncGenerator<IpvsConnection>; read: () => number } {
  let read = 0
  async function* rows(): AsyncGenerator<IpvsConnection> {
    yield connection(0, 'IP')
    for (; read < size; read += 1) yield connection(read)
  }
  return { rows: rows(), read: () => read }
}

async function document(parts: AsyncIterable<string>): Promise<{ flows: object[]; count: number; complete: boolean }> {
  let text = ''
  for await (const part of parts) text += part
  return JSON.parse(text) as { flows: object[]; count: number; complete: boolean }
}

describe('the question', () => {
  test('names a client, and a limit if it likes', () => {
    expect(parseFlowsQuestion({ client: '192.168.50.10' })).toEqual({ client: '192.168.50.10', limit: 1000 })
    expect(parseFlowsQuestion({ client: '192.168.50.10', limit: '5' })).toEqual({ client: '192.168.50.10', limit: 5 })
  })

  test.each([
    [{}, /^client: /],
    [undefined, /^client: /],
    [{ client: '192.168.50' }, /^client: /],
    [{ client: ['192.168.50.10', '192.168.50.11'] }, /^client: /],
    [{ client: '192.168.50.10', limit: '0' }, /^limit: /],
    [{ client: '192.168.50.10', limit: '-1' }, /^limit: /],
    [{ client: '192.168.50.10', limit: '1e3' }, /^limit: /],
    [{ client: '192.168.50.10', limit: '100001' }, /^limit: /],
  ])('%j is refused by the name of the field', (query, problem) => {
    expect(parseFlowsQuestion(query)).toMatch(problem)
  })
})

describe('the answer', () => {
  const question = { client: '192.168.50.10', limit: 3 }

  test('holds the flows with gateway and state, and no template', async () => {
    expect(await document(flowsDocument(question, table(2).rows))).toEqual({
      client: '192.168.50.10',
      flows: [0, 1].map((clientPort) => ({
        protocol: 'tcp',
        clientPort,
        destination: '203.0.113.10',
        destinationPort: 443,
        gateway: '192.168.50.248',
        state: 'ESTABLISHED',
        expiresSeconds: 897,
      })),
      count: 2,
      complete: true,
    })
  })

  test('ends at the limit, says so, and reads no further', async () => {
    const { rows, read } = table(1000)
    expect(await document(flowsDocument(question, rows))).toMatchObject({ count: 3, complete: false })
    expect(read()).toBe(3)
  })

  test('as many as the limit are all', async () => {
    expect(await document(flowsDocument(question, table(3).rows))).toMatchObject({ count: 3, complete: true })
  })

  test('ends when time is up', async () => {
    let clock = 0
    const now = () => (clock += 16_000)
    expect(await document(flowsDocument(question, table(1000).rows, now))).toMatchObject({ count: 1, complete: false })
  })

  test('comes while the table is being read', async () => {
    const { rows, read } = table(1000)
    const parts = flowsDocument(question, rows)
    await parts.next()
    await parts.next()
    expect(read()).toBe(0)
    await parts.return(undefined)
    expect((await rows.next()).done).toBe(true)
  })
})
