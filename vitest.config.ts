import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

// The page is tested in a real browser where the machine has one; CI does.
const hasChromium = existsSync('/usr/bin/chromium')
if (!hasChromium) console.log('No /usr/bin/chromium here: the Swagger page is not tested in a browser.')

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: hasChromium ? [] : ['test/swagger.test.ts'],
    globalSetup: 'test/database.ts',
    // A password takes a third of a second of a core, and races wait for many.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
