import { decodeBase64urlIgnorePadding, encodeBase64urlNoPadding } from '@oslojs/encoding'
import { z } from 'zod'
import { sha256 } from '../crypto.ts'

/** An instant as a part of a place: one that PostgreSQL takes, since whoever forges a cursor may try others. */
export const instantPlace = z.iso.datetime({ precision: 3 }).refine((value) => value >= '0001')

/** A place in a list: the keys of a row, which may be gone, whether to walk back from it, and whether to begin with it. */
export type Cursor = { at: string[]; back: boolean; inclusive: boolean }

const shape = z.tuple([z.array(z.string()), z.boolean(), z.boolean(), z.string()])

/**
 * Writes a cursor down, bound to the list that it is of: its user, filter and order. The check needs no secret, since a
 * forged cursor shows nothing that its user may not see; it is there so that a borrowed one is an error, and not nonsense.
 */
export function writeCursor({ at, back, inclusive }: Cursor, list: unknown): string {
  return encode(JSON.stringify([at, back, inclusive, check([at, back, inclusive], list)]))
}

/** Reads a cursor of this list, whose places are of that shape; undefined for any other text. */
export function readCursor(text: string, list: unknown, place: z.ZodType<string[]>): Cursor | undefined {
  const read = shape.safeParse(parse(text))
  if (!read.success) return undefined
  const [at, back, inclusive] = read.data
  const cursor = { at, back, inclusive }
  // Written again it is the same to the letter, or it was altered.
  return place.safeParse(at).success && writeCursor(cursor, list) === text ? cursor : undefined
}

const check = (place: unknown, list: unknown) =>
  encodeBase64urlNoPadding(sha256(JSON.stringify([place, list])).slice(0, 12))

const encode = (text: string) => encodeBase64urlNoPadding(new TextEncoder().encode(text))

function parse(text: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(decodeBase64urlIgnorePadding(text)))
  } catch {
    return undefined
  }
}
