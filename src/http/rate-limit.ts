import { encodeHexLowerCase } from '@oslojs/encoding'
import { inArray, type SQL, sql } from 'drizzle-orm'
import { sha256 } from '../crypto.ts'
import { rate_limits } from '../database/schema.ts'
import type { Services } from '../services.ts'
import { type Problem, retryLater } from './problem.ts'

/** At most `max` attempts of one subject in any period of `seconds`: a sliding window, exact at its edges. */
export type Limit = { name: string; max: number; seconds: number }

/** An attempt of a subject under a limit. The parts of the subject are hashed before they are stored. */
export type Attempt = [limit: Limit, ...subject: string[]]

type Counting = Pick<Services, 'db' | 'now' | 'settings'>

/** Counts the attempts in order. Returns false at the first one over its limit, which is not counted. */
export async function tryConsume(services: Counting, ...attempts: Attempt[]): Promise<boolean> {
  for (const attempt of attempts) if (!(await tryConsumeOne(services, attempt))) return false
  return true
}

/** Counts the attempts in order. Throws 429 at the first one over its limit. */
export async function consume(services: Counting, ...attempts: Attempt[]): Promise<void> {
  if (!(await tryConsume(services, ...attempts))) await assertAllowed(services, ...attempts)
}

/** Throws 429, with the longest wait, if any of the attempts would be over its limit. Counts nothing. */
export async function assertAllowed(services: Counting, ...attempts: Attempt[]): Promise<void> {
  if (services.settings.RATE_LIMITS === 'off') return
  const [row] = await services.db.execute<{ wait: number | null }>(
    sql`select ${longestWait(services, attempts)} as wait`,
  )
  assertNoWait(row?.wait)
}

/**
 * Returns an expression for the seconds until all of the attempts are allowed, which is null or not positive if they are: for a
 * statement that looks up something else as well. `assertNoWait` must follow.
 */
export function longestWait({ now, settings }: Omit<Counting, 'db'>, attempts: Attempt[]): SQL {
  if (settings.RATE_LIMITS === 'off') return sql`null::float8`
  const waits = attempts.map(
    (attempt) =>
      sql`select extract(epoch from ${oldestCounted(attempt[0])} - ${windowStart(attempt[0], now())})::float8 as wait
          from ${rate_limits} where key = ${keyOf(attempt)}`,
  )
  return sql`(select max(wait) from (${sql.join(waits, sql` union all `)}) as waits)`
}

/** Throws 429 if there are seconds to wait. */
export function assertNoWait(wait: number | null | undefined) {
  if (wait && wait > 0) throw retryLater('too_many_requests', wait)
}

/**
 * Runs a guess at a secret, which resolves to undefined when it was wrong. A wrong guess is counted and throws `failure`.
 * Throws 429 if a limit was reached before or during the guess, so parallel guesses learn no more than sequential ones.
 */
export async function limitGuesses<T>(
  services: Counting,
  attempts: Attempt[],
  failure: Problem,
  guess: () => Promise<T | undefined>,
): Promise<T> {
  await assertAllowed(services, ...attempts)
  const result = await guess()
  if (result === undefined) {
    await consume(services, ...attempts)
    throw failure
  }
  await assertAllowed(services, ...attempts)
  return result
}

/** Forgets what was counted for the attempts. */
export async function clearAttempts({ db }: Counting, ...attempts: Attempt[]): Promise<void> {
  await db.delete(rate_limits).where(inArray(rate_limits.key, attempts.map(keyOf)))
}

async function tryConsumeOne({ db, now, settings }: Counting, attempt: Attempt): Promise<boolean> {
  if (settings.RATE_LIMITS === 'off') return true
  const [limit] = attempt
  const at = now().toISOString()
  const expires = new Date(now().getTime() + limit.seconds * 1000).toISOString()
  // One statement: concurrent attempts queue at the row, and none gets past the limit.
  const counted = await db.execute(sql`
    insert into ${rate_limits} as limits (key, attempts, expires_at)
    values (${keyOf(attempt)}, array[${at}::timestamptz], ${expires})
    on conflict (key) do update set
      attempts = (limits.attempts || excluded.attempts)[greatest(1, cardinality(limits.attempts) + 2 - ${limit.max}::int):],
      expires_at = excluded.expires_at
    where coalesce(${oldestCounted(limit, 'limits')} <= ${windowStart(limit, now())}, true)
    returning true`)
  return counted.length > 0
}

/** The attempt that must leave the window before another is allowed; null while there are fewer than `max`. */
const oldestCounted = ({ max }: Limit, table = 'rate_limits'): SQL =>
  sql.raw(`${table}.attempts[cardinality(${table}.attempts) - ${max - 1}]`)

const windowStart = ({ seconds }: Limit, now: Date) =>
  sql`${new Date(now.getTime() - seconds * 1000).toISOString()}::timestamptz`

const keyOf = ([limit, ...subject]: Attempt) => `${limit.name}:${encodeHexLowerCase(sha256(JSON.stringify(subject)))}`
