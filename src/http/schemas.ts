import { z } from '@hono/zod-openapi'
import { isStorable } from '../database/text.ts'
import { MAX_ERRORS, type ProblemCode, problems } from './problem.ts'

/** A text without NUL and lone surrogates, which PostgreSQL and UTF-8 cannot hold. */
export const wellFormed = z.string().refine(isStorable, 'Must not contain NUL or a lone surrogate')

/** A well-formed text whose length is given in code points. */
export const text = (min: number, max: number) =>
  wellFormed
    .refine((value) => [...value].length >= min && [...value].length <= max, `Must be ${min} to ${max} characters long`)
    .openapi({ minLength: min, maxLength: max })

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
    .openapi({ minLength: 1, maxLength: max })

/** A time in a response: RFC 3339 in UTC with milliseconds. */
export const instant = z.iso.datetime({ precision: 3 }).openapi({ example: '2026-11-22T10:00:00.000Z' })

export const id = z.uuid().openapi({ example: '01986f5e-7c00-7000-8000-0123456789ab' })

/** The size of a page. */
export const limit = z
  .string()
  .regex(/^[1-9]\d{0,2}$/, 'Must be a number from 1 to 100')
  .transform(Number)
  .refine((value) => value <= 100, 'Must be a number from 1 to 100')
  .default(20)
  .openapi({ type: 'integer', minimum: 1, maximum: 100, default: 20 })

export const cursor = z
  .string()
  .max(4096)
  .optional()
  .openapi({ description: 'Taken from `next` or `previous` of another page.' })

/** A page of results with the URLs of its neighbours. */
export const pageOf = <S extends z.ZodType>(schema: S) =>
  z.strictObject({ next: neighbourUrl, previous: neighbourUrl, results: z.array(schema) })

const neighbourUrl = z
  .string()
  .nullable()
  .openapi({ example: 'https://docket.example.com/assignments/?cursor=W1siMDE5O…' })

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

/** The body of every error. */
export const problemSchema = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(problems) as [ProblemCode, ...ProblemCode[]]),
    request_id: z.string(),
    errors: z
      .array(
        z.strictObject({
          in: z.enum(['body', 'query', 'path', 'header']),
          pointer: z.string(),
          message: z.string(),
        }),
      )
      .max(MAX_ERRORS)
      .optional(),
  })
  .openapi('Problem')
