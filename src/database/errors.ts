/** A statement that was given up. */
export class TooSlow extends Error {
  readonly code = 'STATEMENT_TIMEOUT'
}

/** A connection that could not be made or broke. */
export class Unreachable extends Error {
  readonly code = 'CONNECTION_FAILED'

  /** What a query was rejected with, where that is an error with a name; one of Workers' sockets has none. */
  static from(error: unknown): unknown {
    const isBare = error instanceof Error && error.name === 'Error' && !('code' in error)
    return isBare ? new Unreachable() : error
  }
}

/** The driver's own error: Drizzle wraps it in one whose message quotes every bound parameter. */
export function rootCause(error: unknown): unknown {
  return error instanceof Error && error.cause ? rootCause(error.cause) : error
}

/** Whether an error says that a table is not there: no migration, or not yet, has made it. */
export function isUnmigrated(error: unknown): boolean {
  const cause = rootCause(error)
  return cause instanceof Error && 'code' in cause && cause.code === '42P01'
}

const driverCodes = /^(E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_\w+|STATEMENT_TIMEOUT)$/

// SQLSTATE classes and codes (PostgreSQL's appendix A): connection exceptions, refused log-ins, an unknown database,
// insufficient resources, operator intervention, a read-only server, and work that lost against other work.
const serverCodes = /^(08...|28...|3D000|53...|57...|58...|25006|40...)$/

/** Whether an error says that the database, and not the request, is at fault, so that trying again may help. */
export function isUnavailable(error: unknown): boolean {
  const cause = rootCause(error)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return driverCodes.test(code) || serverCodes.test(code)
}
