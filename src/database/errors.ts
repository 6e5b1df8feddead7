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

/** Tells whether a statement failed only because others ran at the same time. It may succeed if it runs again. */
export const isConflict = (error: unknown) => /^(40001|40P01)$/.test(codeOf(error))

/**
 * Tells whether a prepared statement may have failed because a migration has changed what it was prepared for: the columns
 * of its result, a type, or a name (class 42). Some poolers also lose statements (26000).
 */
export const isStalePlan = (error: unknown) => /^(0A000|26000|42...|XX000)$/.test(codeOf(error))

const driverCodes =
  /^(E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_\w+|STATEMENT_TIMEOUT|CLOCK_UNKNOWN|TLS_REFUSED|ERR_(TLS|SSL)_\w+|UNABLE_TO_\w+|\w*CERT\w*)$/

// SQLSTATE classes and codes (PostgreSQL's appendix A): connection exceptions, refused log-ins, an unknown database,
// insufficient resources, operator intervention, system errors, a read-only server, and transactions rolled back.
const serverCodes = /^(08...|28...|3D000|53...|57...|58...|25006|40...)$/

/** Tells whether the database, and not the request, is at fault, so that a retry may succeed. */
export function isUnavailable(error: unknown): boolean {
  const code = codeOf(error)
  return driverCodes.test(code) || serverCodes.test(code) || isFatal(rootCause(error))
}
