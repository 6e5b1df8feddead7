import { fileURLToPath } from 'node:url'
import { dictionary } from '@zxcvbn-ts/language-common'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { continuePositions } from './log-position.ts'
import { common_passwords } from './schema.ts'
import { setUpTimescale, type TimescaleSupport } from './timescale.ts'

const migrationsFolder = fileURLToPath(new URL('../../drizzle', import.meta.url))

/** The key of the advisory lock, which must be the same in every version of Docket. */
const ADVISORY_LOCK = 0x646f636b

/**
 * Migrates a database to the schema of this code, and returns how it stores the event log. `historyDays` is the retention of
 * the log; without it all events are kept. Concurrent migrations wait for each other. The lock belongs to the connection, so
 * it is released even if the process crashes.
 */
export async function migrate(url: string, historyDays?: number): Promise<TimescaleSupport> {
  const client = postgres(url, { max: 1, onnotice: () => {}, connect_timeout: 10 })
  try {
    const db = drizzle(client)
    await db.execute(sql`select pg_advisory_lock(${ADVISORY_LOCK})`)
    await applyMigrations(db, { migrationsFolder })
    const support = await setUpTimescale(client, historyDays)
    await continuePositions(db)
    const passwords = [...dictionary['passwords-common'], ...keyboardPasswords()].filter(
      (password) => password.length >= 8,
    )
    await db.execute(sql`
      insert into ${common_passwords} select jsonb_array_elements_text(${JSON.stringify(passwords)}::jsonb)
      on conflict do nothing`)
    return support
  } finally {
    await client.end({ timeout: 5 })
  }
}

/** Returns passwords that the dictionary leaves to rules: one repeated key, and runs of the alphabet, digits and keyboard. */
function keyboardPasswords(): string[] {
  const keys = [...'abcdefghijklmnopqrstuvwxyz0123456789 .*!']
  const rows = 'abcdefghijklmnopqrstuvwxyz 01234567890 qwertyuiop asdfghjkl; zxcvbnm,./ 1qaz2wsx3edc4rfv'.split(' ')
  const lengths = [8, 9, 10, 11, 12]
  const repeated = keys.flatMap((key) => lengths.map((length) => key.repeat(length)))
  const runs = rows.flatMap((row) =>
    lengths.flatMap((length) =>
      Array.from({ length: row.length - length + 1 }, (_, start) => row.slice(start, start + length)),
    ),
  )
  const reversed = runs.map((run) => [...run].reverse().join(''))
  return [...repeated, ...runs, ...reversed]
}
