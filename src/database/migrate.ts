import { fileURLToPath } from 'node:url'
import { dictionary } from '@zxcvbn-ts/language-common'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { continuePositions } from './log-position.ts'
import { common_passwords } from './schema.ts'
import { equipLog, type Tier } from './timescale.ts'

const migrationsFolder = fileURLToPath(new URL('../../drizzle', import.meta.url))

// Any number will do, as long as every version of Docket takes the same.
const LOCK = 0x646f636b

/**
 * Brings a database to this code's schema, and says how it keeps the log: all of it, or so many days where it can drop what
 * is older. Instances that do it at once wait for each other: the lock is the session's, so it goes with the process,
 * however that ends.
 */
export async function migrate(url: string, days?: number): Promise<Tier> {
  const client = postgres(url, { max: 1, onnotice: () => {}, connect_timeout: 10 })
  try {
    const db = drizzle(client)
    await db.execute(sql`select pg_advisory_lock(${LOCK})`)
    await applyMigrations(db, { migrationsFolder })
    const tier = await equipLog(client, days)
    await continuePositions(db)
    const passwords = [...dictionary['passwords-common'], ...patterns()].filter((password) => password.length >= 8)
    await db.execute(sql`
      insert into ${common_passwords} select jsonb_array_elements_text(${JSON.stringify(passwords)}::jsonb)
      on conflict do nothing`)
    return tier
  } finally {
    await client.end({ timeout: 5 })
  }
}

/** What the dictionary leaves to rules: a letter held down, and runs along the alphabet, the digits and the keyboard. */
function patterns(): string[] {
  const rows = [
    'abcdefghijklmnopqrstuvwxyz',
    '01234567890',
    'qwertyuiop',
    'asdfghjkl;',
    'zxcvbnm,./',
    '1qaz2wsx3edc4rfv',
  ]
  const lengths = [8, 9, 10, 11, 12]
  const held = [...'abcdefghijklmnopqrstuvwxyz0123456789 .*!'].flatMap((key) =>
    lengths.map((length) => key.repeat(length)),
  )
  const runs = rows.flatMap((row) =>
    lengths.flatMap((length) =>
      Array.from({ length: row.length - length + 1 }, (_, from) => row.slice(from, from + length)),
    ),
  )
  return [...held, ...runs, ...runs.map((run) => [...run].reverse().join(''))]
}
