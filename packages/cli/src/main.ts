/** The command line of the system: what is wrong with a file, its manifests, a plan, a running system's state. */
import { UserError } from '@vpn-gateway/config'
import { run } from './run.ts'

/** Exit code for a user's mistake: nothing was changed. */
const userMistake = 2

// Whoever reads the output may have seen enough of it, as `head` has.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

try {
  // npm starts scripts at the repository's root; what the user typed is relative to where they typed it.
  const typedIn = process.env['INIT_CWD']
  if (process.env['npm_lifecycle_event'] === 'vpn-gateway' && typedIn !== undefined) process.chdir(typedIn)
  const { output, notices, exitCode = 0 } = await run(process.argv.slice(2))
  process.stdout.write(output)
  for (const notice of notices) console.error(`vpn-gateway: ${notice}`)
  process.exitCode = exitCode
} catch (error) {
  // The exit code is set rather than exit() called, so that a pipe gets all that was written to it.
  process.exitCode = error instanceof UserError ? userMistake : 1
  const lines = error instanceof UserError ? error.problems : [error instanceof Error ? error.message : String(error)]
  for (const line of lines) console.error(`vpn-gateway: ${line}`)
}
