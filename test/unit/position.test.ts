import { describe, expect, test } from 'vitest'
import { type Cursor, isCursorOf, readCursor, writeCursor } from '../../src/assignments/cursors.ts'
import {
  cursorKeys,
  earlier,
  fromCursorKeys,
  isAfter,
  type LogPosition,
  later,
  START,
  toCursorKeys,
} from '../../src/events/position.ts'

const id = '01986f5e-7c00-7000-8000-0123456789ab'
const event = (position: string, at = '10:00:00.123', last = id): LogPosition => ({
  kind: 'event',
  position,
  at: `2026-11-20T${at}Z`,
  id: last,
})
const head = (position: string): LogPosition => ({
  kind: 'head',
  position,
  day: '2026-11-20T00:00:00.000Z',
  hash: '0123456789abcdef',
})

describe('a log position', () => {
  const ascending = [
    START,
    head('0'),
    event('9'),
    event('9', '10:00:00.123', id.replace('ab', 'ac')),
    event('9', '10:00:00.124', id),
    head('9'),
    event('10', '09:00:00.000'),
    event('9007199254740993'),
    head('9007199254740993'),
    event('9007199254740994'),
  ]

  test('is after all lower positions and no others', () => {
    for (const [index, one] of ascending.entries()) {
      for (const [otherIndex, other] of ascending.entries()) {
        expect([one, other, isAfter(one, other)]).toEqual([one, other, index > otherIndex])
        expect(later(one, other)).toEqual(ascending[Math.max(index, otherIndex)])
        expect(earlier(one, other)).toEqual(ascending[Math.min(index, otherIndex)])
      }
    }
  })

  test('survives encoding as a cursor', () => {
    for (const position of ascending) {
      const keys = toCursorKeys(position)
      expect(cursorKeys.safeParse(keys).success).toBe(true)
      expect(fromCursorKeys(keys)).toEqual(position)
    }
  })

  // Issued by the first release of the event log: clients keep them for as long as they like.
  test.each([
    ['W1tdLGZhbHNlLGZhbHNlLCJ2d080cGdDQ2lrdmZVQXVQIl0', START],
    [
      'W1siNzQyIiwiMjAyNi0xMS0yMFQxMDowMDowMC4xMjNaIiwiMDE5ODZmNWUtN2MwMC03MDAwLTgwMDAtMDEyMzQ1Njc4OWFiIl0sZmFsc2UsZmFsc2UsIlBpWjhyRHk3eTVTSWE4aUUiXQ',
      event('742'),
    ],
    [
      'W1siNzQyIiwiMjAyNi0xMS0yMFQwMDowMDowMC4wMDBaIiwiMDEyMzQ1Njc4OWFiY2RlZiJdLGZhbHNlLGZhbHNlLCJPdk1jVFlfbnFwUTlfazJ1Il0',
      head('742'),
    ],
  ])('keeps the cursor of earlier releases: %s', (cursor, position) => {
    const list = ['01986f5e-7c00-7000-8000-00000000000a', { status: ['todo'] }, 'events']
    expect(writeCursor({ keys: toCursorKeys(position), isBackward: false, isInclusive: false }, list)).toBe(cursor)
    const read = readCursor(cursor, cursorKeys) as Cursor
    expect(fromCursorKeys(read.keys)).toEqual(position)
    expect(isCursorOf(list, cursor, read)).toBe(true)
  })

  test.each([
    [['742']],
    [['-1', '2026-11-20T10:00:00.123Z', id]],
    [['0742', '2026-11-20T10:00:00.123Z', id]],
    [['1000000000000000000', '2026-11-20T10:00:00.123Z', id]],
    [['742', '2026-11-20', id]],
    [['742', '0000-01-01T00:00:00.000Z', id]],
    [['742', '2026-11-20T10:00:00.123Z', '']],
    [['742', '2026-11-20T10:00:00.123Z', '0123456789abcde']],
    [['742', '2026-11-20T10:00:00.123Z', id, id]],
  ])('cannot be read from the keys %j', (keys) => {
    expect(cursorKeys.safeParse(keys).success).toBe(false)
  })
})
