import { sql } from 'drizzle-orm'
import postgres from 'postgres'
import { expect, onTestFinished } from 'vitest'
import { OverloadError } from '../../src/concurrency.ts'
import { connect, type Database } from '../../src/database/connect.ts'
import { until } from '../support/wait.ts'

/** Runs a statement that returns its parameter and the backend that ran it, after a sleep. */
async function echo(db: Database, label: string, sleepMs = 0) {
  const rows = await db.execute<{ label: string; pid: number }>(sql`
    select ${label}::text as label, pg_backend_pid() as pid from pg_sleep(${sleepMs / 1000}::float8)`)
  expect(rows).toHaveLength(1)
  return rows[0] as { label: string; pid: number }
}

/** Freezes both backends of a pool, so that statements time out, and expects later statements to get their own rows. */
export async function expectRowsAfterTimeouts(url: string) {
  const { db, close } = connect(url, { max: 2 })
  onTestFinished(close)
  const backends = await Promise.all(['a', 'b'].map((label) => echo(db, label, 50)))
  expect(backends[0]?.pid).not.toBe(backends[1]?.pid)
  for (const { pid } of backends) process.kill(pid, 'SIGSTOP')
  const frozen = await Promise.allSettled(['c', 'd', 'e'].map((label) => echo(db, label)))
  expect(frozen.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])

  // A busy machine may turn statements away, but must not mix up their rows.
  const echoUntilServed = (label: string) =>
    until(() =>
      echo(db, label, 200).catch((error) => {
        if (error instanceof OverloadError) return undefined
        throw error
      }),
    )
  const labels = ['f', 'g', 'h', 'i', 'j', 'k']
  const echoes = labels.map(echoUntilServed)
  // The cancellations of the frozen statements take effect now, and must not hit the new ones.
  for (const { pid } of backends) process.kill(pid, 'SIGCONT')
  const rows = await Promise.all(echoes)
  expect(rows.map((row) => row?.label)).toEqual(labels)
}

/** Terminates the backends of a busy pool again and again, and expects every statement to get its own row or an error. */
export async function expectRowsAfterBrokenConnections(url: string, rounds: number) {
  const { db, close } = connect(url, { max: 4 })
  const admin = postgres(url, { max: 1 })
  let isStopped = false
  let served = 0
  const wrong: unknown[] = []

  async function runClient(client: number) {
    for (let round = 0; !isStopped; round++) {
      const label = `${client} ${round}`
      const rows = await db.execute<{ label: string }>(sql`select ${label}::text as label`).catch(() => undefined)
      if (!rows) continue
      served++
      if (rows.length !== 1 || rows[0]?.label !== label) wrong.push({ label, rows: [...rows] })
    }
  }

  const clients = Array.from({ length: 12 }, (_, client) => runClient(client))
  try {
    for (let round = 0; round < rounds; round++) {
      await admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'docket' and datname = current_database()`
      const target = served + 20
      await until(() => served >= target, { interval: 2 })
    }
  } finally {
    isStopped = true
    await Promise.all([...clients, admin.end()])
    await close()
  }
  expect(wrong).toEqual([])
}
