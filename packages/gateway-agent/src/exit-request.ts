import { once } from 'node:events'
import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { isIPv4 } from 'node:net'

/** Bytes of an answer that are read; one that is longer is no address. */
const longestAnswer = 1024
/** Seconds until the answer has to be there, its name resolved and its last byte read. */
const timeout = 5

/**
 * The IPv4 address that a web service sees a connection come from: the first line of what it answers. `url` is http or
 * https, `localAddress` is what the connection is bound to. Rejects with an error that says why there is none; redirects
 * are not followed.
 */
export async function requestExitAddress(url: string, localAddress: string, signal: AbortSignal): Promise<string> {
  const deadline = AbortSignal.timeout(timeout * 1000)
  try {
    return addressIn(await requestText(url, localAddress, AbortSignal.any([signal, deadline])))
  } catch (error) {
    if (deadline.aborted) throw new Error(`no answer within ${timeout} s`, { cause: error })
    throw error
  }
}

/** The address on the first line; throws when there is none. */
export function addressIn(answer: string): string {
  const [line = ''] = answer.split(/\r?\n/, 1)
  if (!isIPv4(line.trim())) throw new Error('the first line of the answer is no IPv4 address')
  return line.trim()
}

async function requestText(url: string, localAddress: string, signal: AbortSignal): Promise<string> {
  const get = new URL(url).protocol === 'https:' ? getHttps : getHttp
  // A connection of its own each time: one that is kept would show the exit of the endpoint before.
  const request = get(url, { localAddress, family: 4, agent: false, signal, headers: { accept: 'text/plain' } })
  // What fails after the head of the answer is told by the answer too, but without a listener would end the process.
  request.on('error', () => undefined)
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}, expected 200`)
    return await textOf(response)
  } finally {
    request.destroy()
  }
}

async function textOf(response: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response) {
    length += chunk.length
    if (length > longestAnswer) throw new Error(`the answer is longer than ${longestAnswer} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('latin1')
}
