/**
 * Lists and watches nodes as the Kubernetes API does, for an agent in whose network namespace it runs: port PORT of
 * 127.0.0.1. Each line of standard input is a change: `ADDED NAME ADDRESS`, `DELETED NAME`, `SILENTLY NAME ADDRESS` (added, and
 * no watch is told), `GONE` (watches end with 410). Answers `told`.
 */
import { createServer, type ServerResponse } from 'node:http'
import { createInterface } from 'node:readline'

const nodes = new Map<string, object>()
const watches = new Set<ServerResponse>()
let version = 1

const nodeOf = (name: string, address: string) => ({
  metadata: { name, resourceVersion: String(version) },
  status: { addresses: [{ type: 'InternalIP', address }] },
})

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json')
  if (new URL(request.url ?? '', 'http://x').searchParams.has('watch')) {
    watches.add(response)
    response.on('close', () => watches.delete(response)).flushHeaders()
  } else {
    response.end(JSON.stringify({ metadata: { resourceVersion: String(version) }, items: [...nodes.values()] }))
  }
}).listen(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('listening\n'))

function send(event: object): void {
  for (const watch of watches) watch.write(`${JSON.stringify(event)}\n`)
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [type, name = '', address = ''] = line.split(' ')
    version++
    if (type === 'GONE') send({ type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old' } })
    else {
      const node = nodes.get(name) ?? nodeOf(name, address)
      if (type === 'DELETED') nodes.delete(name)
      else nodes.set(name, node)
      if (type !== 'SILENTLY') send({ type, object: node })
    }
    process.stdout.write('told\n')
  })
  .on('close', () => {
    server.closeAllConnections()
    server.close()
  })
