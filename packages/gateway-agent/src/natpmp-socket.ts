import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import {
  decodeResponse,
  encodeRequest,
  natPmpPort,
  opcodeOf,
  type NatPmpRequest,
  type NatPmpResponse,
} from './natpmp.ts'

/** A UDP socket that talks to one NAT-PMP server. */
export interface NatPmpSocket {
  /**
   * Sends the request once and resolves with its answer, which may be one to an earlier sending of the same request;
   * undefined when none came in time, or `signal` aborted. Never rejects: what the network says against it is silence.
   */
  ask(request: NatPmpRequest, milliseconds: number, signal: AbortSignal): Promise<NatPmpResponse | undefined>
  close(): void
}

/**
 * Opens a socket bound to `localAddress`, which a rule sends into the tunnel, and connected, so that only the server's
 * datagrams come in by it. Rejects with the system's error, as while the tunnel has no such address.
 */
export async function openNatPmpSocket(server: string, localAddress: string, port = natPmpPort): Promise<NatPmpSocket> {
  const socket = createSocket('udp4')
  // ECONNREFUSED and the like answer to an earlier datagram; the next one is a new try.
  socket.on('error', () => undefined)
  try {
    // `once` rejects with the error that comes instead of the event.
    socket.bind({ address: localAddress, port: 0, exclusive: true })
    await once(socket, 'listening')
    socket.connect(port, server)
    await once(socket, 'connect')
  } catch (error) {
    socket.close()
    throw error
  }
  return {
    ask(request, milliseconds, signal) {
      return new Promise((resolve) => {
        const end = (response?: NatPmpResponse) => {
          clearTimeout(timer)
          socket.off('message', hear)
          signal.removeEventListener('abort', abort)
          resolve(response)
        }
        const hear = (bytes: Buffer) => {
          const response = decodeResponse(bytes)
          if (response !== undefined && answers(response, request)) end(response)
        }
        const abort = () => end()
        const timer = setTimeout(end, milliseconds)
        signal.addEventListener('abort', abort, { once: true })
        if (signal.aborted) return end()
        socket.on('message', hear)
        socket.send(encodeRequest(request), () => undefined)
      })
    },
    close: () => socket.close(),
  }
}

/** Whether a response belongs to the request. Servers that pick the internal port themselves say 0, or the one they picked. */
export function answers(response: NatPmpResponse, request: NatPmpRequest): boolean {
  if (response.kind === 'failure') return response.opcode === opcodeOf(request)
  if (request.kind === 'address' || response.kind === 'address') return request.kind === response.kind
  const samePort = response.internalPort === request.internalPort || response.internalPort === 0
  return response.protocol === request.protocol && (samePort || request.internalPort === 0)
}
