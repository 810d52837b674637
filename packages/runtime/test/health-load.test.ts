import { expect, test } from 'vitest'
import { healthUnderLoad } from './health-load.ts'

// Milliseconds are what `npm run fuzz` promises: here others may have the processor.
test(
  '/livez is answered beside a thousand idle connections, slow clients and oversized bodies',
  { timeout: 120_000 },
  async () => {
    const { loaded, idle } = await healthUnderLoad()
    expect(idle).toBeGreaterThan(900)
    expect(loaded.median).toBeLessThan(5000)
  },
)
