import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { openEmbeddedPostgres } from '../../src/node/embedded-postgres.ts'
import { startServer, temporaryFolder } from '../support/process.ts'
import { until } from '../support/wait.ts'

test('the Worker runs on this machine with a database that needs no password', async () => {
  const folder = await temporaryFolder()
  const { url, stop } = await openEmbeddedPostgres(folder)
  onTestFinished(stop)
  await migrate(url)
  const access = join(folder, 'postgres/cluster/pg_hba.conf')
  await writeFile(access, `host docket docket 127.0.0.1/32 trust\n${await readFile(access, 'utf8')}`)
  const owner = postgres(url, { max: 1 })
  await owner`select pg_reload_conf()`
  await owner.end()
  const withoutPassword = new URL(url)
  withoutPassword.password = ''
  const { PATH = '' } = process.env
  const bin = new URL('../../node_modules/.bin', import.meta.url).pathname
  const worker = startServer({ DATABASE_URL: withoutPassword.href, PATH: `${bin}:${PATH}` }, ['worker'])
  const [, origin] = await worker.waitForOutput(/Ready on (http:\/\/\S+)/)
  await until(async () => (await fetch(`${origin}/readyz`)).status === 200)
  await worker.stop('SIGHUP')
  await expect(fetch(`${origin}/readyz`)).rejects.toThrow('fetch failed')
})
