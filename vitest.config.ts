import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

// The page is tested in a real browser where the machine has one; CI does.
const hasChromium = existsSync('/usr/bin/chromium')
if (!hasChromium) console.log('No /usr/bin/chromium here: the Swagger page is not tested in a browser.')

/** The tests that speak HTTP alone, and so hold in either runtime. */
const stories = ['assignments', 'expiry', 'limits', 'listing', 'login', 'mail', 'model', 'passwords', 'problems']
  .concat(['races', 'reports', 'secrets', 'signup'])
  .map((subject) => `test/${subject}.test.ts`)

export default defineConfig({
  test: {
    globalSetup: 'test/database.ts',
    // A password takes a third of a second of a core, and races wait for many.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: hasChromium ? [] : ['test/swagger.test.ts'],
          provide: { runtime: 'node' },
        },
      },
      { extends: true, test: { name: 'workers', include: stories, provide: { runtime: 'workers' } } },
    ],
  },
})
