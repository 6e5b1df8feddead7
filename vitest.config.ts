import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

// The page is tested in a real browser where the machine has one; CI does.
const hasChromium = existsSync('/usr/bin/chromium')
const untested = hasChromium ? [] : ['swagger']
if (!hasChromium) console.log('No /usr/bin/chromium here: the Swagger page is not tested in a browser.')

/**
 * What is Node's alone: its start and end, faults made of it, the tools around it, and what is looked at from within the
 * process or below HTTP.
 */
const onlyNode =
  `bundle charts community demo embedded faults follow fuzz live node openapi probing queries restarts settings
  sockets swagger`.split(/\s+/)
const named = (subjects: string[]) => subjects.map((subject) => `test/${subject}.test.ts`)

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/database.ts',
    // A password takes a third of a second of a core, and races wait for many.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: 'node', exclude: named(['worker', ...untested]), provide: { runtime: 'node' } },
      },
      {
        extends: true,
        test: { name: 'workers', exclude: named(onlyNode), isolate: false, provide: { runtime: 'workers' } },
      },
    ],
  },
})
