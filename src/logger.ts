/** A structured log, called as pino is: fields first, then a message. */
export type Logger = Record<'info' | 'warn' | 'error', (fields: object, message?: string) => void>

/** Returns what may be logged of an error. A database's messages can quote parameters, so only its code is kept. */
export function describeError(error: unknown) {
  const cause = rootCause(error)
  if (!(cause instanceof Error)) return { type: typeof cause }
  const frames = cause.stack?.match(/^ +at .+$/gm)?.slice(0, 12)
  const code = 'code' in cause ? cause.code : undefined
  return { type: cause.name, code, message: code ? undefined : cause.message, frames }
}

/** Returns the innermost cause: Drizzle wraps the driver's error in one whose message quotes every bound parameter. */
export function rootCause(error: unknown): unknown {
  return error instanceof Error && error.cause ? rootCause(error.cause) : error
}
