import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

// The page is tested in a real browser where the machine has one; CI does.
const hasChromium = existsSync('/usr/bin/chromium')
if (!hasChromium) console.log('No /usr/bin/chromium here: the Swagger page is not tested in a browser.')

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/database.ts',
    // A password takes a third of a second of a core, and races wait for many.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          exclude: ['test/worker/**', ...(hasChromium ? [] : ['test/node/docs-page.test.ts'])],
          provide: { runtime: 'node' },
        },
      },
      {
        extends: true,
        test: {
          name: 'workers',
          exclude: ['test/{node,database}/**'],
          isolate: false,
          provide: { runtime: 'workers' },
        },
      },
    ],
  },
})
