/**
 * HTTP requests from inside a namespace without a process per request: one bash for each namespace waits for requests
 * on its standard input and makes them through /dev/tcp, which costs no exec.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface HttpRequest {
  /** `GET` unless said. */
  method?: string
  /** Address to connect to; the namespace's own loopback unless said. */
  host?: string
  port: number
  path: string
  /** Milliseconds; 30,000 unless said: whoever asks has the processor last. */
  timeoutMs?: number
}

export interface HttpResponse {
  status: number
  body: string
}

/** Ends a response; RS (0x1e) is in no JSON document and no metrics page. */
const END = '\u001E'

// `read -N` reads pieces of some thousand bytes, up to the end of the connection, which HTTP/1.0 closes after the body; with a
// delimiter it would read byte by byte.
const script = `
while read -r method host port path; do
  status=0 body= s=
  if { exec {s}<>"/dev/tcp/$host/$port"; } 2>/dev/null; then
    printf '%s %s HTTP/1.0\\r\\nHost: %s\\r\\nContent-Length: 0\\r\\n\\r\\n' "$method" "$path" "$host" >&$s
    read -r -t 60 _ status _ <&$s
    while read -r -t 60 header <&$s && [[ $header != $'\\r' ]]; do :; done
    IFS= read -r -N 100000000 -t 60 -u $s body
    exec {s}>&-
  fi
  printf '%s\\n%s\\n${END}\\n' "\${status:-0}" "$body"
done`

interface Prober {
  request(request: HttpRequest): Promise<HttpResponse>
  stop(): void
}

/** Makes requests in any namespace; a process that has made some does not end by itself before `stop`. */
export interface HttpProbes {
  /** Resolves with the response; rejects when nothing answers. One request at a time for each namespace. */
  request(namespace: string, request: HttpRequest): Promise<HttpResponse>
  stop(): void
}

/** Makes the shells lazily, and again when one has died with its namespace. */
export function createHttpProbes(): HttpProbes {
  const probers = new Map<string, Prober>()
  return {
    async request(namespace, request) {
      let prober = probers.get(namespace)
      if (prober === undefined) {
        prober = createProber(namespace, (gone) => {
          if (probers.get(namespace) === gone) probers.delete(namespace)
        })
        probers.set(namespace, prober)
      }
      return prober.request(request)
    },
    stop() {
      for (const prober of probers.values()) prober.stop()
      probers.clear()
    },
  }
}

function createProber(namespace: string, onExit: (prober: Prober) => void): Prober {
  const child = spawn('ip', ['netns', 'exec', namespace, 'bash', '--norc', '--noprofile', '-c', script], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
  })
  const { stdin, stdout } = child
  let waiting: { resolve: (lines: string[]) => void; reject: (error: Error) => void } | undefined
  let lines: string[] = []
  let last: Promise<unknown> = Promise.resolve()
  const gone = (): void => {
    onExit(prober)
    waiting?.reject(new Error(`the shell in ${namespace} ended`))
  }
  child.on('error', gone)
  child.on('exit', gone)
  stdin.on('error', () => undefined)
  createInterface({ input: stdout }).on('line', (line) => {
    if (line !== END) {
      lines.push(line)
      return
    }
    waiting?.resolve(lines)
    lines = []
  })

  const exchange = async (request: HttpRequest): Promise<HttpResponse> => {
    const { method = 'GET', host = '127.0.0.1', port, path, timeoutMs = 30_000 } = request
    const what = `${method} http://${host}:${port}${path} in ${namespace}`
    const pending = new Promise<string[]>((resolve, reject) => {
      waiting = { resolve, reject }
    })
    // A shell that hangs in connect(2) is of no more use: the next request gets a new one.
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    try {
      stdin.write(`${method} ${host} ${port} ${path}\n`)
      const [status = '0', ...body] = await pending
      if (status === '0') throw new Error(`${what}: no answer`)
      return { status: Number(status), body: body.join('\n') }
    } catch (error) {
      throw error instanceof Error && error.message.startsWith(what) ? error : new Error(`${what}: ${String(error)}`)
    } finally {
      clearTimeout(timer)
      waiting = undefined
    }
  }

  const prober: Prober = {
    request(request) {
      const result = last.then(() => exchange(request))
      last = result.catch(() => undefined)
      return result
    },
    stop() {
      child.kill('SIGKILL')
    },
  }
  return prober
}
