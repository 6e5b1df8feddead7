import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import { migrate } from '../../src/database/migrate.ts'
import { openEmbeddedPostgres } from '../../src/node/embedded-postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The URL of a migrated, empty database that tests clone. */
    template: string
  }
}

/**
 * Bundles the server that tests start as a process. Opens the PostgreSQL of all test files, embedded or at
 * TEST_DATABASE_URL, with a template that each file clones.
 */
export default async function setup(project: TestProject) {
  const [build, folder] = ['build.ts', 'node_modules/.cache/docket-test/dist'].map(inProject)
  await promisify(execFile)(process.execPath, [build, folder] as string[])
  const server = process.env.TEST_DATABASE_URL
    ? { url: process.env.TEST_DATABASE_URL, stop: async () => {} }
    : await openTemporary()
  const admin = postgres(server.url, { max: 1, onnotice: () => {} })
  const name = `docket_test_${process.pid}`
  await admin.unsafe(`create database ${name}`)
  const template = new URL(server.url)
  template.pathname = `/${name}`
  await migrate(template.href)
  await disallowConnections(admin, name)
  project.provide('template', template.href)

  return async () => {
    const left = await admin`select datname from pg_database where starts_with(datname, ${name})`
    for (const { datname } of left) await admin.unsafe(`drop database "${datname}" with (force)`)
    await admin.end()
    await server.stop()
  }
}

const inProject = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Keeps TimescaleDB's workers away: a database can be cloned only while nobody is connected to it. */
async function disallowConnections(admin: postgres.Sql, name: string) {
  await admin.unsafe(`alter database ${name} allow_connections false`)
  await admin`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = ${name}`
}

async function openTemporary() {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  const { url, stop } = await openEmbeddedPostgres(folder)
  await makeQuick(url, folder)
  return {
    url,
    stop: async () => {
      await stop()
      await rm(folder, { recursive: true })
    },
  }
}

/**
 * Saves what tests do not need: waiting for the disk, and deriving a key for each connection. Autovacuum is off because its
 * transactions delay the delivery of events.
 */
async function makeQuick(url: string, folder: string) {
  await writeFile(join(folder, 'postgres/cluster/pg_hba.conf'), 'host all all 127.0.0.1/32 trust\n')
  const client = postgres(url, { max: 1 })
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum']) {
    await client.unsafe(`alter system set ${setting} = off`)
  }
  await client`select pg_reload_conf()`
  await client.end()
}
