import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

const hasChromium = existsSync('/usr/bin/chromium')
if (!hasChromium) console.log('Without /usr/bin/chromium, the tests in a browser are skipped.')

const onBothRuntimes = 'test/{accounts,assignments,events,http,reports}/**/*.test.ts'

// The folder of a test decides where it runs.
const node = {
  extends: true as const,
  test: {
    name: 'node',
    include: ['test/*.test.ts', 'test/{unit,node,database}/**/*.test.ts', onBothRuntimes],
    provide: { runtime: 'node' as const },
  },
}
const workers = {
  extends: true as const,
  test: {
    name: 'workers',
    include: ['test/worker/**/*.test.ts', onBothRuntimes],
    provide: { runtime: 'workers' as const },
  },
}
const slow = {
  extends: true as const,
  test: {
    name: 'slow',
    include: ['test/slow/*.test.ts'],
    provide: { runtime: 'node' as const },
  },
}
const slowWorkers = {
  extends: true as const,
  test: {
    name: 'slow-workers',
    include: ['test/slow/worker/*.test.ts'],
    provide: { runtime: 'workers' as const },
  },
}

export default defineConfig(({ mode }) => ({
  test: {
    globalSetup: 'test/support/database.ts',
    // More than two cores need: tests mostly wait for servers and databases.
    maxWorkers: 4,
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: mode === 'slow' ? [slow, slowWorkers] : [node, workers],
  },
}))
