/** A process of clients that misbehave towards one port: silent ones, slow ones, and ones that send far too much. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const idleConnections = 1000
const slowClients = 50
const bigSenders = 20
/** Bytes, of which the server takes 16 KiB. */
const bigBody = 10 * 1024 * 1024
/** Milliseconds until whom the server sent away comes again. */
const comeAgain = 50

const silent = new Set<Socket>()
const others = new Set<Socket>()

function open(set: Set<Socket>, use: (socket: Socket) => void): void {
  const socket = connect(Number(process.argv[2]), '127.0.0.1')
  set.add(socket)
  socket.on('error', () => undefined)
  socket.on('connect', () => use(socket))
  socket.on('close', () => {
    set.delete(socket)
    void delay(comeAgain).then(() => open(set, use))
  })
}

function trickle(socket: Socket): void {
  socket.write('GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ')
  const timer = setInterval(() => socket.write('x'), 100)
  socket.once('close', () => clearInterval(timer))
}

function flood(socket: Socket): void {
  const head = ['PUT /v1/unready HTTP/1.1', 'Host: a', 'Content-Type: application/json', `Content-Length: ${bigBody}`]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  const part = Buffer.alloc(64 * 1024, 'x')
  const more = () => {
    while (!socket.destroyed && socket.write(part));
  }
  socket.on('drain', more)
  more()
}

for (let index = 0; index < idleConnections; index += 1) open(silent, () => undefined)
await Promise.all([...silent].map((socket) => once(socket, 'connect')))
for (let index = 0; index < slowClients; index += 1) open(others, trickle)
for (let index = 0; index < bigSenders; index += 1) open(others, flood)
process.send?.('gathered')
process.on('message', () => process.send?.([...silent].filter((socket) => socket.readyState === 'open').length))
// It must not outlive who started it.
process.once('disconnect', () => process.exit(0))
