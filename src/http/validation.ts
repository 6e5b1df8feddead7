import type { Hook, z } from '@hono/zod-openapi'
import type { Env } from '../services.ts'
import { type InputError, invalidRequest, Problem } from './problem.ts'

/**
 * Rejects an input that breaks its schema, and lists every error in query, headers and body at once. A malformed id in the
 * path is simply not found.
 */
export const rejectInvalid: Hook<unknown, Env, string, Promise<undefined>> = async (result, c) => {
  if (result.success) return undefined
  if (result.target === 'param') throw new Problem('not_found')
  const bodyErrors = c.var.bodyErrors?.() ?? []
  if (result.target === 'json') throw invalidRequest(bodyErrors)
  const part = result.target === 'header' ? 'header' : 'query'
  throw invalidRequest([...toInputErrors(result.error, part), ...bodyErrors])
}

/** Turns the issues of Zod into those of the response. */
export const toInputErrors = (error: z.ZodError, part: InputError['in']): InputError[] =>
  error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? unknownFields(issue.keys, part)
      : [{ in: part, pointer: toPointer(issue.path), message: issue.message }],
  )

/** Returns an error for each field, or parameter, that the API does not have. */
export const unknownFields = (names: string[], part: InputError['in']): InputError[] =>
  names.map((name) => ({
    in: part,
    pointer: toPointer([name]),
    message: part === 'body' ? 'Unknown field' : 'Unknown parameter',
  }))

const toPointer = (path: PropertyKey[]) =>
  path.map((key) => `/${String(key).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
