import { encodeHexLowerCase } from '@oslojs/encoding'
import { inArray, type SQL, sql } from 'drizzle-orm'
import type { Context } from 'hono'
import {
  convertIPv4BinaryToString,
  convertIPv4MappedIPv6ToIPv4,
  convertIPv6ToBinary,
  distinctRemoteAddr,
  isIPv4MappedIPv6,
} from 'hono/utils/ipaddr'
import { digest } from '../crypto.ts'
import { rate_limits } from '../database/schema.ts'
import type { Env, Services } from '../services.ts'
import { retryLater } from './problem.ts'

/** At most `max` attempts of one subject in any `seconds`: a sliding window, exact also at its edges. */
export type Limit = { name: string; max: number; seconds: number }

/** An attempt of a subject under a limit; the subject's parts are hashed before they are stored. */
export type Attempt = [limit: Limit, ...subject: string[]]

type Counting = Pick<Services, 'db' | 'now' | 'settings'>

/** Counts each attempt, in order, up to the first that its limit has no room for: then false. */
export async function count(services: Counting, ...attempts: Attempt[]): Promise<boolean> {
  for (const attempt of attempts) if (!(await countOne(services, attempt))) return false
  return true
}

/** Counts each attempt, in order, and throws 429 at the first that its limit has no room for. */
export async function spend(services: Counting, ...attempts: Attempt[]): Promise<void> {
  if (!(await count(services, ...attempts))) await requireRoom(services, ...attempts)
}

/** Throws 429, with the longest wait, when any of the attempts has no room; counts none. */
export async function requireRoom({ db, now, settings }: Counting, ...attempts: Attempt[]): Promise<void> {
  if (settings.RATE_LIMITS === 'off') return
  const waits = attempts.map(
    (attempt) =>
      sql`select extract(epoch from ${oldestThatCounts(attempt[0])} - ${cutOff(attempt[0], now())})::float8 as wait
          from ${rate_limits} where key = ${keyOf(attempt)}`,
  )
  const [longest] = await db.execute<{ wait: number | null }>(
    sql`select max(wait) as wait from (${sql.join(waits, sql` union all `)}) as waits`,
  )
  if (longest?.wait && longest.wait > 0) throw retryLater('too_many_requests', longest.wait)
}

/** Forgets what was counted of the attempts. */
export async function forget({ db }: Counting, ...attempts: Attempt[]): Promise<void> {
  await db.delete(rate_limits).where(inArray(rate_limits.key, attempts.map(keyOf)))
}

async function countOne({ db, now, settings }: Counting, attempt: Attempt): Promise<boolean> {
  if (settings.RATE_LIMITS === 'off') return true
  const [limit] = attempt
  const at = now().toISOString()
  const expires = new Date(now().getTime() + limit.seconds * 1000).toISOString()
  // One statement, so that attempts at the same time queue at the row and none slips by.
  const counted = await db.execute(sql`
    insert into ${rate_limits} as limits (key, attempts, expires_at)
    values (${keyOf(attempt)}, array[${at}::timestamptz], ${expires})
    on conflict (key) do update set
      attempts = (limits.attempts || excluded.attempts)[greatest(1, cardinality(limits.attempts) + 2 - ${limit.max}::int):],
      expires_at = excluded.expires_at
    where coalesce(${oldestThatCounts(limit, 'limits')} <= ${cutOff(limit, now())}, true)
    returning true`)
  return counted.length > 0
}

/** The attempt that must leave the window before there is room; null while there are fewer than `max`. */
const oldestThatCounts = ({ max }: Limit, table = 'rate_limits'): SQL =>
  sql.raw(`${table}.attempts[cardinality(${table}.attempts) - ${max - 1}]`)

const cutOff = ({ seconds }: Limit, now: Date) =>
  sql`${new Date(now.getTime() - seconds * 1000).toISOString()}::timestamptz`

const keyOf = ([limit, ...subject]: Attempt) => `${limit.name}:${encodeHexLowerCase(digest(JSON.stringify(subject)))}`

/**
 * Who a request counts for: an IPv4 address, or the /64 that an IPv6 address is in, since one home or host has all of it.
 * A proxy's word is taken only where the settings say so, and only its last hop, the one that a client cannot write.
 */
export function clientOf(c: Pick<Context<Env>, 'env' | 'req'>): string {
  const hop = c.env.settings.TRUST_PROXY ? c.req.header('X-Forwarded-For')?.split(',').at(-1)?.trim() : undefined
  return networkOf(hop ?? '') ?? networkOf(c.env.address) ?? 'unknown'
}

function networkOf(address: string): string | undefined {
  if (distinctRemoteAddr(address) === 'IPv4') return address
  try {
    const bits = convertIPv6ToBinary(address)
    return isIPv4MappedIPv6(bits)
      ? convertIPv4BinaryToString(convertIPv4MappedIPv6ToIPv4(bits))
      : `${(bits >> 64n).toString(16)}/64`
  } catch {
    return undefined
  }
}
