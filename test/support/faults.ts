import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'
import { expect, onTestFinished } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { openEmbeddedPostgres } from '../../src/node/embedded-postgres.ts'
import { createPeople, expectConsistent, startLoad } from './load.ts'
import { postmasterPid, startServer } from './process.ts'
import { startProxy } from './proxy.ts'
import { until } from './wait.ts'

export type Fault = {
  begin: () => Promise<unknown>
  end: () => Promise<unknown>
  /** How long the fault lasts after the server has noticed it. */
  milliseconds?: number
  /** The server stays ready, since the fault is short or stops only writes. */
  staysReady?: boolean
}

/** Starts a PostgreSQL that can fail in many ways behind a proxy, and a server over it. */
export async function startFaultyDatabase(peopleCount = 20) {
  const folder = await mkdtemp(join(tmpdir(), 'docket-test-'))
  let database = await openEmbeddedPostgres(folder)
  await migrate(database.url)
  const proxy = await startProxy(database.url)
  const { db, close } = connect(database.url, { max: 1 })
  const people = await createPeople(db, peopleCount)
  await close()
  const server = startServer({ DATABASE_URL: proxy.url, RATE_LIMITS: 'off' })
  const url = await server.url()

  /** Connects to PostgreSQL past the proxy, until the end of the test. */
  function openClient(options = {}) {
    const client = postgres(database.url, { max: 1, ...options })
    onTestFinished(() => client.end({ timeout: 1 }))
    return client
  }

  const restart = async () => {
    database = await openEmbeddedPostgres(folder)
    proxy.redirect(database.url)
  }

  const faults = {
    stopped: { begin: () => database.stop(), end: restart, milliseconds: 6_000 },
    killed: { begin: async () => process.kill(await postmasterPid(folder), 'SIGKILL'), end: restart },
    restarted: { begin: () => database.stop().then(restart), end: async () => {}, staysReady: true },
    frozen: {
      begin: async () => signalAll('SIGSTOP', await postmasterPid(folder)),
      end: async () => signalAll('SIGCONT', await postmasterPid(folder)),
      milliseconds: 6_000,
    },
    unreachable: {
      begin: async () => proxy.setBlackHole(true),
      end: async () => proxy.setBlackHole(false),
      milliseconds: 6_000,
    },
    slow: { begin: async () => proxy.setDelay(3_000), end: async () => proxy.setDelay(0), milliseconds: 6_000 },
    'out of connections': connectionFault(openClient),
    'read-only': {
      begin: () => setReadOnly(openClient(), 'on'),
      end: () => setReadOnly(openClient(), 'off'),
      milliseconds: 1_000,
      staysReady: true,
    },
  } satisfies Record<string, Fault>

  /** Waits until readyz has a status; healthz has 200 all the time. */
  const untilReady = (status: 200 | 503) =>
    until(async () => {
      expect(await statusOf(`${url}/healthz`)).toBe(200)
      return (await statusOf(`${url}/readyz`)) === status
    })

  /** Runs a load through a fault, and expects that the server answers every request and loses nothing. */
  async function expectSurvival({ begin, end, milliseconds = 0, staysReady = false }: Fault) {
    const load = startLoad(url, people)
    await load.waitForSuccesses(200)
    const memory = await server.memory()
    await begin()
    if (!staysReady) await untilReady(503)
    await delay(milliseconds)
    await end()
    await untilReady(200)
    await load.waitForSuccesses(200)
    expect(await server.memory()).toBeLessThan(memory + 200)
    const acknowledged = await load.stop()

    const failures = load.outcomes.filter(({ status }) => !status || status >= 300)
    expect(failures.length).toBeGreaterThan(0)
    for (const { status, retryAfter } of failures) expect([status, Number(retryAfter) > 0]).toEqual([503, true])
    expect(load.outcomes.filter(({ isOwnAccount }) => !isOwnAccount)).toEqual([])
    expect(acknowledged.length).toBeGreaterThan(0)
    await expectConsistent(openClient(), acknowledged)
    expect(server.output()).not.toMatch(/internal_error/)
  }

  return {
    faults,
    expectSurvival,
    /** Returns the URL of PostgreSQL, which changes when it restarts. */
    databaseUrl: () => database.url,
    close: async () => {
      await server.stop()
      proxy.close()
      await database.stop()
      await rm(folder, { recursive: true })
    },
  }
}

const statusOf = async (url: string) => {
  const response = await fetch(url)
  await response.arrayBuffer()
  return response.status
}

/** Sends a signal to PostgreSQL: first to the postmaster, which then starts and reaps no process, then to its children. */
async function signalAll(signal: 'SIGSTOP' | 'SIGCONT', postmaster: number) {
  const kill = (pid: number) => {
    try {
      process.kill(pid, signal)
    } catch (error) {
      // The process has just exited.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  kill(postmaster)
  const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8')
  for (const pid of children.trim().split(' ').map(Number)) kill(pid)
}

async function setReadOnly(client: postgres.Sql, value: 'on' | 'off') {
  await client`set default_transaction_read_only = off`
  await client.unsafe(`alter system set default_transaction_read_only = ${value}`)
  await client`select pg_reload_conf()`
}

/** Takes every connection that PostgreSQL offers, also those that the server loses meanwhile. */
function connectionFault(openClient: (options?: object) => postgres.Sql): Fault {
  let admin: postgres.Sql
  let crowd: postgres.Sql
  return {
    begin: async () => {
      admin = openClient()
      const [row] = await admin`show max_connections`
      const max = Number(row?.max_connections)
      crowd = openClient({ max, backoff: () => 0.01 })
      const occupy = (count: number) => {
        for (let index = 0; index < count; index++) crowd`select pg_sleep(60)`.catch(() => {})
      }
      occupy(max)
      for (let round = 0; round < 20; round++) {
        await admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'docket'`
        occupy(2)
        await delay(20)
      }
    },
    end: async () => {
      crowd.end({ timeout: 0 })
      await admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`
    },
  }
}
