import { chmod, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { expect, test } from 'vitest'
import { cloneDatabase } from '../support/fixtures.ts'
import { startServer, temporaryFolder } from '../support/process.ts'

// test/slow/dev-worker.test.ts starts wrangler.

/** Runs the command with a program in wrangler's place, and returns the arguments and the environment that it gets. */
async function developWorker(environment: Record<string, string>, args: string[] = []) {
  const folder = await temporaryFolder()
  const program = `#!${process.execPath}\nconsole.log(JSON.stringify([process.argv.slice(2), process.env]))\n`
  await writeFile(join(folder, 'wrangler'), program)
  await chmod(join(folder, 'wrangler'), 0o755)
  const PATH = [folder, process.env.PATH].join(delimiter)
  const server = startServer({ PORT: '', ...environment, PATH }, ['worker', ...args])
  expect(await server.exitCode).toBe(0)
  const [options, env] = JSON.parse(server.output()) as [string[], Record<string, string>]
  return { options, env, url: new URL(env.CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE as string) }
}

test('the Worker on this machine listens on HOST and PORT, without telemetry', async () => {
  const DATABASE_URL = await cloneDatabase()
  const set = await developWorker({ DATABASE_URL, HOST: '127.0.0.2', PORT: '8123' })
  expect(set.options).toEqual(['dev', '--port', '8123', '--ip', '127.0.0.2'])
  expect(set.env).toMatchObject({ WRANGLER_SEND_METRICS: 'false', WRANGLER_SEND_ERROR_REPORTS: 'false' })
  expect(set.url.href).toBe(DATABASE_URL)
  const given = await developWorker({ DATABASE_URL, PORT: '8123' }, ['--port=8124'])
  expect(given.options).toEqual(['dev', '--port=8124'])
})

test('the Worker on this machine gets a URL that wrangler accepts', async () => {
  const bare = new URL(await cloneDatabase())
  bare.password = ''
  const expected = new URL(bare)
  expected.password = 'none'
  const { url } = await developWorker({ DATABASE_URL: bare.href, PGUSER: 'other', PGPASSWORD: 'other' })
  expect(url.href).toBe(expected.href)
})

test('the Worker on this machine explains which databases it cannot reach', async () => {
  const urls = [
    'postgres:///docket',
    'postgres:///docket?host=/var/run/postgresql',
    'postgres://user:secret@localhost/docket?host=/cloudsql/project:region:name',
    'postgres://user:secret@%2Fvar%2Frun%2Fpostgresql/docket',
  ]
  for (const server of urls.map((DATABASE_URL) => startServer({ DATABASE_URL }, ['worker']))) {
    expect(await server.exitCode).toBe(1)
    expect(server.output()).toMatch(
      /^Docket did not start\.\nThe Worker on this machine reaches its database over TCP .*\n$/,
    )
    expect(server.output()).not.toContain('secret')
  }
})
