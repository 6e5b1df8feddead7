import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from './process.ts'

test('the app bundles for Workers, with nothing in it that only Node needs', async () => {
  const folder = await temporaryFolder()
  const [wrangler, metafile] = [
    new URL('../node_modules/.bin/wrangler', import.meta.url).pathname,
    join(folder, 'meta.json'),
  ]
  const environment = { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG_PATH: folder }
  const options = { env: environment, cwd: new URL('..', import.meta.url).pathname }
  const outputs = [`--outdir=${folder}`, `--metafile=${metafile}`]
  await promisify(execFile)(wrangler, ['deploy', '--dry-run', ...outputs], options)
  const inputs = Object.keys(JSON.parse(await readFile(metafile, 'utf8')).inputs)
  expect(inputs).toContain('src/app.ts')
  const onlyNode =
    /src\/(node|demo)\.ts|kdf\.ts|embedded|migrate\.ts|pino|p-limit|node-server|swagger-ui-dist|zxcvbn|drizzle-orm\/migrator/
  expect(inputs.filter((input) => onlyNode.test(input))).toEqual([])
})
