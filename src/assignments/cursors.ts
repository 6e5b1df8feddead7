import { decodeBase64urlIgnorePadding, encodeBase64urlNoPadding } from '@oslojs/encoding'
import { z } from 'zod'
import { sha256 } from '../crypto.ts'

/** A position in a sorted list: the sort keys of a row, which may be gone since, and how to read on from there. */
export type Cursor = { keys: string[]; isBackward: boolean; isInclusive: boolean }

/** A time among the keys of a cursor. It must be one that PostgreSQL can read, since a client may forge a cursor. */
export const instantKey = z.iso.datetime({ precision: 3 }).refine((value) => value >= '0001')

const CursorSchema = z.tuple([z.array(z.string()), z.boolean(), z.boolean(), z.string()])

/**
 * Encodes a cursor and binds it to its list (user, filter and order) by a checksum, so that a cursor of another list is an
 * error. The checksum needs no secret: a forged cursor cannot show more than its user may see.
 */
export function writeCursor({ keys, isBackward, isInclusive }: Cursor, list: unknown): string {
  const parts = [keys, isBackward, isInclusive]
  return encode([...parts, checksum(parts, list)])
}

/**
 * Decodes a cursor whose keys match a schema; undefined for any other text. The user of its list need not be known yet:
 * `isCursorOf` must follow.
 */
export function readCursor(text: string, schema: z.ZodType<string[]>): Cursor | undefined {
  const parsed = CursorSchema.safeParse(decode(text))
  if (!parsed.success) return undefined
  const [keys, isBackward, isInclusive] = parsed.data
  return schema.safeParse(keys).success ? { keys, isBackward, isInclusive } : undefined
}

/** Tells whether a decoded cursor belongs to a list and is unaltered: then it is encoded to the same text again. */
export const isCursorOf = (list: unknown, text: string, cursor: Cursor): boolean => writeCursor(cursor, list) === text

const checksum = (parts: unknown[], list: unknown) =>
  encodeBase64urlNoPadding(sha256(JSON.stringify([parts, list])).slice(0, 12))

const encode = (value: unknown) => encodeBase64urlNoPadding(new TextEncoder().encode(JSON.stringify(value)))

function decode(text: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(decodeBase64urlIgnorePadding(text)))
  } catch {
    return undefined
  }
}
