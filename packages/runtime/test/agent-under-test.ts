/** A small agent that the tests start as a process of its own. */
import { EventEmitter, once } from 'node:events'
import { writeSync } from 'node:fs'
import { UserError } from '@vpn-gateway/config'
import { runAgent } from '@vpn-gateway/runtime'

const say = (text: string) => void writeSync(1, `TOLD ${text}\n`)

await runAgent({
  agent: 'node-agent',
  options: { mode: { flag: 'mode', value: 'MODE', default: 'good', help: 'how to behave' } },
  async build({ options, registry, log }) {
    if (options.mode === 'mistake')
      throw new UserError(['gatewayNetwork.vip: missing: expected text', 'second: problem'])
    if (options.mode === 'slow-build') {
      say('build')
      await once(process.stdin, 'data')
      process.stdin.destroy()
    }
    void registry
    let ready = true
    const released = new EventEmitter()
    return {
      components: ['first', 'second'].map((name) => ({
        name,
        start: async () => {
          if (options.mode === 'broken' && name === 'second') throw new Error('could not')
          if (options.mode === 'slow-start' && name === 'first') {
            say(`begin ${name}`)
            await once(released, 'go')
          }
          say(`start ${name}`)
        },
        stop: async () => say(`stop ${name}`),
      })),
      http: {
        readiness: () => ({ state: ready ? 'ready' : 'unready', reasons: ready ? [] : ['told so'] }),
        status: () => ({ extra: 1 }),
        routes: (app) => {
          app.put('/v1/unready', () => {
            ready = false
            return {}
          })
          app.put('/v1/release', () => {
            released.emit('go')
            return {}
          })
          app.put('/v1/stray', () => {
            setImmediate(() => void Promise.reject(new Error('nobody listens')))
            return {}
          })
          app.get('/v1/broken', () => {
            throw new Error('secret detail')
          })
        },
      },
      async drain(deadline) {
        say('drain')
        if (options.mode === 'bad-drain') throw new Error('could not drain')
        if (options.mode === 'deaf-drain') await new Promise(() => undefined)
        if (options.mode === 'slow') await new Promise((resolve) => deadline.addEventListener('abort', resolve))
        log.info('drained')
      },
      drainSeconds: options.mode === 'deaf-drain' ? 0.2 : 30,
    }
  },
})
