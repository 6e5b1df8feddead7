import { z } from '@hono/zod-openapi'
import { isStorable } from '../database/text.ts'
import { MAX_ERRORS, type ProblemCode, problems } from './problem.ts'

/** A whole number of 32 bits. */
export function integer(min: number, max = 2 ** 31 - 1) {
  return z.int().min(min).max(max).openapi({ format: 'int32' })
}

/** Publishes the values of a response as texts, since a later version may have more of them. */
export function openEnum<E extends z.ZodEnum>(schema: E): E {
  return schema.openapi({ type: 'string', enum: undefined as never })
}

/** The pattern of texts without NUL, for the document. Lone surrogates are no characters, which patterns could name. */
const STORABLE = '^[^\\u0000]*$'

/** A text without NUL and lone surrogates, which PostgreSQL and UTF-8 cannot hold. */
export const wellFormed = z
  .string()
  .refine(isStorable, 'Must not contain NUL or a lone surrogate')
  .openapi({ pattern: STORABLE })

/** A well-formed text whose length is given in code points. */
export const text = (min: number, max: number) =>
  wellFormed
    .refine((value) => [...value].length >= min && [...value].length <= max, `Must be ${min} to ${max} characters long`)
    .openapi({ minLength: min, maxLength: max })

/** The pattern of storable texts that are not white space alone. */
const VISIBLE = '^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$'

/** Invisible characters: spaces, controls, marks without a letter, fillers, the blank of braille and the null of music. */
const INVISIBLE =
  /[\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{M}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u{2800}\u{1D159}]/gu

/** A name without white space around it, and with at least one visible character. */
export const name = (max: number) =>
  z
    .string()
    .trim()
    .pipe(
      text(1, max).refine(
        (value) => value === '' || value.replace(INVISIBLE, '') !== '',
        'Must have a visible character',
      ),
    )
    .openapi({
      minLength: 1,
      maxLength: max,
      pattern: VISIBLE,
      description: 'White space around it is removed, and only what remains counts. One character must be visible.',
    })

/** A time in a response: RFC 3339 in UTC with milliseconds. */
export const instant = z.iso.datetime({ precision: 3 }).openapi({ example: '2026-11-22T10:00:00.000Z' })

/** An id, of any version: the document says only that it is a UUID. */
export const id = z.guid().openapi({ example: '01986f5e-7c00-7000-8000-0123456789ab' })

/** The size of a page. */
export const limit = z
  .string()
  .regex(/^[1-9]\d{0,2}$/, 'Must be a number from 1 to 100')
  .transform(Number)
  .refine((value) => value <= 100, 'Must be a number from 1 to 100')
  .default(20)
  .openapi({ type: 'integer', minimum: 1, maximum: 100, default: 20 })

export const CURSOR_PATTERN = '^[A-Za-z0-9_-]+$'

export const cursor = z
  .string()
  // The key of the longest name is 255 characters, each of which folds to up to twelve bytes.
  .max(8192)
  .optional()
  .openapi({ description: 'Taken from `next` or `previous` of another page.', pattern: CURSOR_PATTERN })

/** A page of results with the URLs of its neighbours. */
export const pageOf = <S extends z.ZodType>(schema: S) =>
  z.strictObject({ next: neighbourUrl, previous: neighbourUrl, results: z.array(schema).max(100) })

const neighbourUrl = z
  .url()
  .nullable()
  .openapi({ example: 'https://docket.example.com/assignments/?cursor=W1siMDE5ODZm' })

/** A required JSON body. */
export const jsonBody = <S extends z.ZodType>(schema: S) => ({
  required: true,
  content: { 'application/json': { schema } },
})

/** A required JSON body with changes, which may also be sent as a merge patch (RFC 7396). */
export const patchBody = <S extends z.ZodType>(schema: S) => ({
  required: true,
  content: { 'application/json': { schema }, 'application/merge-patch+json': { schema } },
})

/** A response with a JSON body. */
export const jsonResponse = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { 'application/json': { schema } },
})

/** A response with a page and its `Link` header. */
export const pageResponse = <S extends z.ZodType>(schema: S, description: string) => ({
  ...jsonResponse(schema, description),
  headers: { Link: header('The URLs of `next` and `previous` (RFC 8288), where they exist.', { required: false }) },
})

/** A header of a response. */
export const header = (description: string, { required = true, example }: HeaderOptions = {}) => ({
  description,
  required,
  schema: { type: 'string' as const, ...(example !== undefined && { example }) },
})

type HeaderOptions = { required?: boolean; example?: string }

const InputErrorSchema = z
  .strictObject({
    in: z.enum(['body', 'query', 'path', 'header']).openapi({ description: 'The part of the request.' }),
    pointer: z.string().openapi({ description: 'A JSON Pointer (RFC 6901) into that part.', example: '/email' }),
    message: z.string().openapi({ description: 'What is wrong, as a sentence.', example: 'Required' }),
  })
  .openapi('InputError')

/** The body of every error. */
export const ProblemSchema = z
  .strictObject({
    type: z.string().openapi({ description: '`urn:docket:problem:` and the code.' }),
    title: z.string().openapi({ description: 'The kind of problem, as a sentence.' }),
    status: integer(400, 599),
    detail: z.string().openapi({ description: 'What is wrong with this request.' }),
    code: openEnum(z.enum(Object.keys(problems) as [ProblemCode, ...ProblemCode[]])).openapi({
      description: 'Stable and machine-readable. Handle an unknown code by its status.',
      example: 'invalid_request',
    }),
    request_id: z.string().openapi({ description: 'The id of the request in the log.' }),
    errors: z.array(InputErrorSchema).max(MAX_ERRORS).optional().openapi({ description: 'Every invalid input.' }),
  })
  .openapi('Problem')
