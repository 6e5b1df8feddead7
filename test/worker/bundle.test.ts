import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/process.ts'

/** Builds what `npm run deploy` would upload. */
async function bundle() {
  const folder = await temporaryFolder()
  const [wrangler, metafile] = [
    new URL('../../node_modules/.bin/wrangler', import.meta.url).pathname,
    join(folder, 'meta.json'),
  ]
  const environment = { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG_PATH: folder }
  const options = { env: environment, cwd: new URL('../..', import.meta.url).pathname }
  const outputs = [`--outdir=${folder}`, `--metafile=${metafile}`]
  await promisify(execFile)(wrangler, ['deploy', '--dry-run', ...outputs], options)
  const inputs = Object.keys(JSON.parse(await readFile(metafile, 'utf8')).inputs)
  return { inputs, code: await readFile(join(folder, 'worker.js')) }
}

test('the Worker bundle is small, without code for Node and duplicates', async () => {
  const { inputs, code } = await bundle()
  expect(gzipSync(code).length).toBeLessThan(173 * 1024)
  expect(inputs).toContain('src/worker.ts')
  const onlyNode =
    /src\/(node|demo)\b|migrate\.ts|pino|prom-client|node-server|swagger-ui-dist|zxcvbn|drizzle-orm\/migrator|locales\/(?!en)/
  expect(inputs.filter((input) => onlyNode.test(input))).toEqual([])

  const folders = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? [])
  const packages = Map.groupBy(new Set(folders), (folder) => folder.split('node_modules/').at(-1))
  expect([...packages.values()].filter((places) => places.length > 1)).toEqual([])
  // No package is bundled as CommonJS beside its ES modules.
  const kinds = inputs.filter((input) => /\/zod\/.*\.cjs$|drizzle-orm\/.*\.cjs$/.test(input))
  expect(kinds).toEqual([])
})
