/** Requests to the Kubernetes API server: JSON answers and lines of JSON, with the pod's own credentials. */
import { readTextFile } from '@vpn-gateway/config'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'

export interface KubernetesApi {
  /** As in `https://10.96.0.1:443`. */
  url: string
  /** Directory with `token` and `ca.crt`, as Kubernetes mounts it; both are read anew for each request, since they change. */
  credentials: string
}

/** Characters of the API server's own words. */
const mostRepeated = 200

/** An answer of the API server other than 200. */
export class ApiError extends Error {
  readonly status: number

  constructor(path: string, status: number, message: string) {
    // It goes into readiness and the log.
    const said = message.slice(0, mostRepeated).replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    super(`GET ${path}: ${status}${said === '' ? '' : ` ${said}`}`)
    this.status = status
  }
}

/** Milliseconds without a byte after which a connection is given up; the API server sends a bookmark about every minute. */
const silence = 150_000
/** Characters of one answer; a page of nodes has a few million. */
const longestAnswer = 64 * 1024 * 1024

/** Asks for a path and resolves to the answer when its headers are there; rejects with an `ApiError` unless it is 200. */
export async function get(api: KubernetesApi, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const url = new URL(path, api.url)
  const [token, ca] = await Promise.all(['token', 'ca.crt'].map((name) => credential(api, name)))
  const headers = { accept: 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) }
  const options = { headers, signal, timeout: silence, ...(ca === undefined ? {} : { ca }) }
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = (url.protocol === 'http:' ? httpRequest : httpsRequest)(url, options, resolve)
    request.on('timeout', () => request.destroy(new Error(`no byte for ${silence / 1000} s`)))
    // Notices a server that is gone without a word; the answer's own errors are its reader's.
    request.on('socket', (socket) => socket.setKeepAlive(true, 15_000))
    request.on('error', reject)
    request.end()
  })
  if (response.statusCode === 200) return response
  const said = await textOf(response).catch(() => '')
  throw new ApiError(url.pathname, response.statusCode ?? 0, messageOf(said))
}

/** As `get`, resolves to the whole answer as JSON. */
export async function getJson(api: KubernetesApi, path: string, signal: AbortSignal): Promise<unknown> {
  const text = await textOf(await get(api, path, signal))
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new Error('the answer is no JSON', { cause: error })
  }
}

/** Bytes; a bundle of certificates has a few hundred thousand at most. */
const longestCredential = 1024 * 1024

async function credential({ credentials }: KubernetesApi, name: string): Promise<string | undefined> {
  const text = await readTextFile(join(credentials, name), longestCredential).catch(() => undefined)
  if (text !== undefined && text.length > longestCredential)
    throw new Error(`the service account's ${name} is longer than ${longestCredential} bytes`)
  return text?.trim()
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  response.setEncoding('utf8')
  for await (const part of response) {
    text += part as string
    if (text.length > longestAnswer) throw new Error('the answer is too long')
  }
  return text
}

/** The API server explains itself with a Status object. */
function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    return typeof message === 'string' ? message : ''
  } catch {
    return ''
  }
}
