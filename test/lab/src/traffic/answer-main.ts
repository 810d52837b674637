/**
 * Tells callers who they seem to be: each line is answered with the caller's address, an HTTP request likewise. To a caller
 * whose first line is `push N` it says so every N milliseconds, until the connection ends.
 * Usage: lab-answer ADDRESS tcp/PORT|udp/PORT…
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

const NEWLINE = 10

/** Address as a caller would write it: IPv4 without the prefix of a mapped address. */
const plain = (address: string | undefined): string => (address ?? '').replace(/^::ffff:/, '')

function answerTcp(host: string, port: number): void {
  createServer({ noDelay: true }, (socket) => {
    const address = plain(socket.remoteAddress)
    const line = Buffer.from(`${address}\n`)
    let first = true
    socket.on('data', (data) => {
      if (first && /^(GET|HEAD|POST) \S+ HTTP\//.test(data.toString('latin1', 0, 64))) {
        const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${line.length}\r\nConnection: close\r\n\r\n`
        socket.end(head + line.toString())
        return
      }
      const [, pace] = (first && /^push (\d+)\n$/.exec(data.toString('latin1'))) || []
      first = false
      if (pace !== undefined) {
        const timer = setInterval(() => socket.write(line), Number(pace))
        socket.once('close', () => clearInterval(timer))
      }
      const lines = countLines(data)
      if (lines === 1) socket.write(line)
      else if (lines > 1) socket.write(line.toString().repeat(lines))
    })
    // A caller that disappears with a reset is not this program's concern.
    socket.on('error', () => undefined)
  }).listen(port, host, 1024)
}

function countLines(data: Buffer): number {
  let lines = 0
  for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) lines += 1
  return lines
}

function answerUdp(host: string, port: number): void {
  const socket = createSocket('udp4')
  socket.on('message', (_, caller) => socket.send(`${caller.address}\n`, caller.port, caller.address))
  socket.on('error', (error) => {
    throw error
  })
  socket.bind(port, host)
}

const [host = '', ...listeners] = process.argv.slice(2)
for (const listener of listeners) {
  const [protocol, port] = listener.split('/')
  if (protocol === 'tcp') answerTcp(host, Number(port))
  else if (protocol === 'udp') answerUdp(host, Number(port))
  else throw new Error(`${listener}: expected tcp/PORT or udp/PORT`)
}
