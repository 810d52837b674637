/** Questions to other agents: short, over connections that are kept, and bounded in time and size. */
import { get, type Agent } from 'node:http'

export interface Question {
  agent: Agent
  host: string
  port: number
  path: string
  /** Milliseconds until the whole answer has to be there. */
  within: number
}

/** Bytes; an answer is a state and a few reasons. */
const longestAnswer = 64 * 1024

/** The answer's body, whatever its status; undefined when there is none in time, or too much. Never rejects. */
export function getText({ agent, host, port, path, within }: Question): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get({ host, port, path, agent }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
        if (text.length > longestAnswer) request.destroy()
      })
      response.on('end', () => resolve(text))
      response.on('error', () => resolve(undefined))
    })
    // `timeout` of a request is of idleness and only an event.
    const late = setTimeout(() => request.destroy(), within)
    request.on('error', () => resolve(undefined))
    request.on('close', () => {
      clearTimeout(late)
      resolve(undefined)
    })
  })
}
