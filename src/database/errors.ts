import { rootCause } from '../logger.ts'

/** A statement took too long and was given up. */
export class StatementTimeout extends Error {
  override name = 'StatementTimeout'
  readonly code = 'STATEMENT_TIMEOUT'
}

/** A connection could not be made, or broke. */
export class ConnectionFailed extends Error {
  override name = 'ConnectionFailed'
  readonly code = 'CONNECTION_FAILED'

  /** Returns an error as it is, or a ConnectionFailed for one without name and code, as the sockets of Workers raise. */
  static from(error: unknown): unknown {
    const isBare = error instanceof Error && error.name === 'Error' && !('code' in error)
    return isBare ? new ConnectionFailed() : error
  }
}

/** The time is not known: the database's clock was not read lately, or the clock of this process has been set since. */
export class ClockUnknown extends Error {
  override name = 'ClockUnknown'
  readonly code = 'CLOCK_UNKNOWN'
}

/** Returns the code of an error's innermost cause: an SQLSTATE, or a word of the driver or of Node. */
export function codeOf(error: unknown): string {
  const cause = rootCause(error)
  return cause instanceof Error && 'code' in cause ? String(cause.code) : ''
}

/** Tells whether an error says that a table is missing: its migration has not run. */
export const isUnmigrated = (error: unknown) => codeOf(error) === '42P01'

/** Tells whether TimescaleDB refused to write, because the session began while the database was in its restore mode. */
export const isRestoreMode = (error: unknown) =>
  codeOf(error) === '0A000' && /during restore/.test((rootCause(error) as Error).message)

/** Tells whether the server or a pooler refused a log-in because it has no connection left for this role or database. */
export function isFull(error: unknown): boolean {
  const cause = rootCause(error)
  if (!isFatal(cause)) return false
  return cause.code === '53300' || /max ?client|too many|no more connections|connection limit/i.test(cause.message)
}

/** Tells whether an error ended its connection, or prevented its log-in. Old poolers send only the localized severity. */
function isFatal(error: unknown): error is Error & { code: string } {
  if (!(error instanceof Error)) return false
  const { severity_local, severity = severity_local } = error as { severity?: string; severity_local?: string }
  return severity === 'FATAL' || severity === 'PANIC'
}

/**
 * Tells whether a statement failed only because others ran at the same time: it could not be serialized, was the victim of a
 * deadlock, exceeded the lock_timeout of the database, or names a row that was deleted meanwhile. If it runs again, it may
 * succeed, or finds that the row is gone.
 */
export const isConflict = (error: unknown) => /^(40001|40P01|55P03|23503)$/.test(codeOf(error))

/** Tells whether a statement would have stored a value that must be unique a second time. */
export const isUniqueViolation = (error: unknown) => codeOf(error) === '23505'

/**
 * Tells whether a prepared statement may have failed because a migration has changed what it was prepared for: the columns
 * of its result, a type, or a name (class 42). Some poolers also lose statements (26000).
 */
export const isStalePlan = (error: unknown) => /^(0A000|26000|42...|XX000)$/.test(codeOf(error))

const driverCodes =
  /^(E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_\w+|STATEMENT_TIMEOUT|CLOCK_UNKNOWN|TLS_REFUSED|ERR_(TLS|SSL)_\w+|UNABLE_TO_\w+|\w*CERT\w*)$/

// SQLSTATE classes and codes (PostgreSQL's appendix A) that a later attempt may not meet.
const serverCodes = new RegExp(
  `^(${[
    '08...', // connection exceptions
    '25...', // a transaction that is read-only, failed or timed out: Docket begins none, so its connection is in that state
    '26000|42P05', // prepared statements that a pooler has lost, or given to another client
    '28...|3D000', // refused log-ins, an unknown database
    '40...', // transactions rolled back, for example by a deadlock
    '53...', // insufficient resources
    '55...', // objects in use or locked, or a new value of an enum before its commit
    '57...', // operator intervention
    '58...|F0...', // errors of the system and of the configuration
    '72000', // a snapshot that is too old
    'HV...', // servers behind foreign tables
  ].join('|')})$`,
)

/**
 * Tells whether the database, and not the request, is at fault, so that a retry may succeed. Limits of a statement (class 54),
 * exceptions of functions (P0), corrupted data (XX) and refused privileges (42501) are not: each attempt meets them.
 */
export function isUnavailable(error: unknown): boolean {
  const code = codeOf(error)
  return driverCodes.test(code) || serverCodes.test(code) || isFatal(rootCause(error))
}
