/** Whether an address is somebody's: a kernel that has it answers a connection, whatever the program behind it does. */
import { connect } from 'node:net'

/** Milliseconds: a lost SYN is sent again after one second, and after two more. */
const within = 2500

/**
 * True if a connection to the port is taken or refused, false if nothing comes back in time or the neighbour is not there.
 * Never rejects.
 */
export function isHeld(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (held: boolean) => {
      clearTimeout(late)
      socket.destroy()
      resolve(held)
    }
    const late = setTimeout(() => end(false), within)
    socket.once('connect', () => end(true))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'))
  })
}
