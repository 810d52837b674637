/**
 * Sends whatever may leak, without end: TCP connections, datagrams, DNS questions and echo requests. What becomes of them is
 * of no interest here. Commands (`SenderCommand`) are JSON lines on standard input; each is answered by an empty line.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { connect, isIPv6, type Socket as Connection } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Destination, SenderCommand } from './destination.ts'

const answeringPort = Number(process.argv[2])
/** Milliseconds between two rounds: what is sent costs every hop, and agents that find no time are not what a leak is to be found in. */
const TICK_MS = 200
/** Milliseconds that a connection may take, and then stays open, and between two lines on it. */
const CONNECTION_MS = 2000
const LINE_MS = 500
/** Seconds between two echo requests to one destination. */
const PING_SECONDS = '0.25'
/** Milliseconds before a ping that could not start is tried again. */
const RETRY_MS = 500
/** A question for the addresses of `leak.example`, recursion wanted (RFC 1035). */
const QUESTION = Buffer.from('4c4b01000001000000000000046c65616b076578616d706c650000010001', 'hex')

/** What is kept for a destination as long as it is one. */
interface Target extends Destination {
  socket: Promise<Socket>
  connections: Set<Connection>
  /** Undefined while it has to be started. */
  ping?: ChildProcess
}

let targets: Target[] = []

/** A socket for each destination, so that its datagrams are one flow. Resolves once it is bound. */
function openSocket({ address, source, ttl }: Destination): Promise<Socket> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  socket.on('error', () => undefined)
  return new Promise((resolve) => {
    socket.bind(source === undefined ? {} : { address: source }, () => {
      if (ttl !== undefined) socket.setTTL(ttl)
      resolve(socket)
    })
  })
}

function dial({ address, source, port = answeringPort, connections }: Target): void {
  const socket = connect({ host: address, port, ...(source === undefined ? {} : { localAddress: source }) })
  connections.add(socket)
  const timer = setInterval(() => {
    if (!socket.connecting) socket.write('x\n')
  }, LINE_MS)
  const end = setTimeout(() => socket.destroy(), CONNECTION_MS)
  socket.on('error', () => undefined)
  socket.on('data', () => undefined)
  socket.on('close', () => {
    clearInterval(timer)
    clearTimeout(end)
    connections.delete(socket)
  })
}

function send(target: Target): void {
  const { address, port = answeringPort, size = 16, socket } = target
  dial(target)
  void socket.then((open) => {
    open.send(Buffer.alloc(size, 'leak'), port, address, () => undefined)
    open.send(QUESTION, 53, address, () => undefined)
  })
}

function keepPinging(target: Target): void {
  if (target.ping !== undefined || target.quiet === true) return
  const { address, source, ttl, size = 16 } = target
  const from = source === undefined ? [] : ['-I', source]
  const hops = ttl === undefined ? [] : ['-t', String(ttl)]
  const ping = spawn('ping', ['-q', '-n', '-i', PING_SECONDS, '-s', String(size), ...from, ...hops, address], {
    stdio: 'ignore',
  })
  target.ping = ping
  // It ends at once where there is no route.
  ping.once('close', () => void delay(RETRY_MS).then(() => delete target.ping))
  ping.once('error', () => undefined)
}

function obey({ destinations }: SenderCommand): void {
  for (const { socket, connections, ping } of targets) {
    // One that goes on would go other ways when routes change.
    for (const connection of connections) connection.destroy()
    void socket.then((open) => open.close())
    ping?.kill('SIGKILL')
  }
  targets = destinations.map((destination) => ({
    ...destination,
    socket: openSocket(destination),
    connections: new Set(),
  }))
}

/** The first destination has a turn in each round, the others share ten rounds. */
async function sendForever(): Promise<void> {
  for (let round = 0; ; round += 1) {
    await delay(TICK_MS)
    const [first, ...others] = targets
    const share = Math.ceil(others.length / 10)
    const from = (round % 10) * share
    for (const target of [...(first === undefined ? [] : [first]), ...others.slice(from, from + share)]) send(target)
    for (const target of targets) keepPinging(target)
  }
}

// Whoever steered this is gone.
process.stdout.on('error', () => process.exit(1))
process.once('exit', () => targets.forEach(({ ping }) => ping?.kill('SIGKILL')))
void sendForever()
for await (const line of createInterface({ input: process.stdin })) {
  obey(JSON.parse(line) as SenderCommand)
  process.stdout.write('\n')
}
process.exit(0)
