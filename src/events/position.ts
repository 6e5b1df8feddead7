import { z } from 'zod'
import { instantKey } from '../assignments/cursors.ts'

/**
 * How far a reader has read the log. Events are in the order of `position` (a decimal number, the same for all events of a
 * transaction), then `at`, then `id`.
 *
 * - `start`: nothing is read.
 * - `event`: everything up to this event is read.
 * - `head`: all events of `position` are read. The newest of them may belong to somebody else, so it is identified by a
 *   hash of its id and the day of its time.
 *
 * Both of the last two name an event, so that a position can be checked against the log.
 */
export type LogPosition =
  | { kind: 'start' }
  | { kind: 'event'; position: string; at: string; id: string }
  | { kind: 'head'; position: string; day: string; hash: string }

export const START: LogPosition = { kind: 'start' }

/** Returns the position right after an event. */
export const positionOf = ({ position, at, id }: { position: string; at: string; id: string }): LogPosition => ({
  kind: 'event',
  position,
  at,
  id,
})

/** Tells whether a position is later in the log than another. */
export function isAfter(one: LogPosition, other: LogPosition): boolean {
  if (one.kind === 'start' || other.kind === 'start') return one.kind !== 'start' && other.kind === 'start'
  if (one.position !== other.position) return BigInt(one.position) > BigInt(other.position)
  if (one.kind === 'head' || other.kind === 'head') return one.kind === 'head' && other.kind === 'event'
  return one.at === other.at ? one.id > other.id : one.at > other.at
}

export const earlier = (one: LogPosition, other: LogPosition) => (isAfter(one, other) ? other : one)
export const later = (one: LogPosition, other: LogPosition) => (isAfter(one, other) ? one : other)

/** Returns the part of a cursor that stands for a position. Issued cursors must stay valid, so this format is fixed. */
export function toCursorKeys(position: LogPosition): string[] {
  if (position.kind === 'start') return []
  if (position.kind === 'head') return [position.position, position.day, position.hash]
  return [position.position, position.at, position.id]
}

/** The hash of an event in the cursor of a head. */
const HASH = /^[0-9a-f]{16}$/

/** The keys that `fromCursorKeys` accepts. */
export const cursorKeys = z.union([
  z.tuple([]),
  z.tuple([z.string().regex(/^(0|[1-9]\d{0,17})$/), instantKey, z.union([z.guid(), z.string().regex(HASH)])]),
])

/** Returns the position that checked cursor keys stand for. */
export function fromCursorKeys([position, time, name]: string[]): LogPosition {
  if (!position || !time || !name) return START
  if (HASH.test(name)) return { kind: 'head', position, day: time, hash: name }
  return { kind: 'event', position, at: time, id: name }
}
