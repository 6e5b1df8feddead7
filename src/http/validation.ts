import { type Hook, z } from '@hono/zod-openapi'
import type { Env } from '../services.ts'
import { type InputError, invalidRequest, Problem } from './problem.ts'

// Zod's own message would be "Invalid input: expected string, received undefined".
z.config({
  customError: ({ code, input }) => (code === 'invalid_type' && input === undefined ? 'Required' : undefined),
})

/**
 * Rejects an input that breaks its schema, and lists every error in query, headers and body at once. A malformed id in the
 * path is simply not found.
 */
export const rejectInvalid: Hook<unknown, Env, string, Promise<undefined>> = async (result, c) => {
  if (result.success) return undefined
  if (result.target === 'param') throw new Problem('not_found')
  const bodyErrors = c.get('bodyErrors')?.() ?? []
  if (result.target === 'json') throw invalidRequest(bodyErrors)
  const part = result.target === 'header' ? 'header' : 'query'
  throw invalidRequest([...toInputErrors(result.error, part), ...bodyErrors])
}

/** Turns the issues of Zod into those of the response. */
export const toInputErrors = (error: z.ZodError, part: InputError['in']): InputError[] =>
  error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? unknownFields(issue.keys, part)
      : [{ in: part, pointer: toPointer(issue.path), message: messageOf(issue, part) }],
  )

/** Returns the message of an issue. A parameter that is repeated is a list where a text was expected. */
const messageOf = ({ code, message }: z.core.$ZodIssue, part: InputError['in']) =>
  part === 'query' && code === 'invalid_type' && message !== 'Required' ? 'Must not be repeated' : message

/** Returns an error for each field, or parameter, that the API does not have. */
export const unknownFields = (names: string[], part: InputError['in']): InputError[] =>
  names.map((name) => ({
    in: part,
    pointer: toPointer([name]),
    message: part === 'body' ? 'Unknown field' : 'Unknown parameter',
  }))

/** The most characters of a name that a response repeats. */
const MAX_NAME = 100

const toPointer = (path: PropertyKey[]) => path.map((key) => `/${escapeName(shorten(String(key)))}`).join('')

const shorten = (name: string) => (name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}…` : name).toWellFormed()

/** Escapes a name for a JSON Pointer (RFC 6901, 3). */
const escapeName = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')
