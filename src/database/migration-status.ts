import { sql } from 'drizzle-orm'
import journal from '../../drizzle/meta/_journal.json' with { type: 'json' }
import type { Database } from './connect.ts'
import { isUnmigrated } from './errors.ts'
import { isLogOfThisCluster } from './log-position.ts'

const latest = Math.max(...journal.entries.map(({ when }) => when))

/**
 * Tells whether the database has all migrations of this code, and whether its log positions belong to its cluster. Rejects if
 * the database is unreachable.
 */
export async function isMigrated(db: Database): Promise<boolean> {
  try {
    const [row] = await db.execute<{ migrated: boolean }>(
      sql`select coalesce(max(created_at) >= ${latest}, false) as migrated from drizzle.__drizzle_migrations`,
    )
    return row?.migrated === true && (await isLogOfThisCluster(db))
  } catch (error) {
    if (isUnmigrated(error)) return false
    throw error
  }
}
