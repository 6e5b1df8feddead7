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

/** Tells whether an error says that a table is missing: its migration has not run. */
export function isUnmigrated(error: unknown): boolean {
  const cause = rootCause(error)
  return cause instanceof Error && 'code' in cause && cause.code === '42P01'
}

const driverCodes = /^(E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_\w+|STATEMENT_TIMEOUT)$/

// SQLSTATE classes and codes (PostgreSQL's appendix A): connection exceptions, refused log-ins, an unknown database,
// insufficient resources, operator intervention, system errors, a read-only server, and transactions rolled back.
const serverCodes = /^(08...|28...|3D000|53...|57...|58...|25006|40...)$/

/** Tells whether the database, and not the request, is at fault, so that a retry may succeed. */
export function isUnavailable(error: unknown): boolean {
  const cause = rootCause(error)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return driverCodes.test(code) || serverCodes.test(code)
}
