import { PgDialect } from 'drizzle-orm/pg-core'
import { describe, expect, test } from 'vitest'
import { cursorKeysSchema, type Order, orderBy, rowsAfter, sortKeys, toPage } from '../../src/assignments/keyset.ts'

const ID = '01986f5e-7c00-7000-8000-0123456789ab'
const TIME = '2026-11-22T10:00:00.000Z'

/** Parses the `ordering` of a query, such as `status,-name`. */
const parse = (ordering: string) =>
  ordering.split(',').map((field) => ({ by: field.replace('-', ''), descending: field[0] === '-' })) as Order

const dialect = new PgDialect()

describe('sort keys', () => {
  test.each([
    ['name', 'order by key_name asc, key_id asc'],
    ['-updated_at', 'order by key_updated_at desc, key_id desc'],
    ['status,-name', 'order by key_status asc, key_name desc, key_id desc'],
    ['created_at,name', 'order by key_created_at asc, key_name asc, key_id asc'],
    ['created_at', 'order by key_id asc'],
    ['status,-created_at', 'order by key_status asc, key_id desc'],
  ])('of %s end with the id, which replaces a last created_at', (ordering, clause) => {
    expect(dialect.sqlToQuery(orderBy(sortKeys(parse(ordering)))).sql).toBe(clause)
  })

  test('are reversed to read backward', () => {
    const clause = orderBy(sortKeys(parse('status,-name'), true))
    expect(dialect.sqlToQuery(clause).sql).toBe('order by key_status desc, key_name asc, key_id asc')
  })
})

describe('rows after a cursor', () => {
  const conditionOf = (ordering: string, keys: string[], { isBackward = false, isInclusive = false } = {}) =>
    dialect.sqlToQuery(rowsAfter(sortKeys(parse(ordering), isBackward), { keys, isBackward, isInclusive }))

  test.each([
    ['updated_at', {}, '>'],
    ['updated_at', { isInclusive: true }, '>='],
    ['updated_at', { isBackward: true }, '<'],
    ['-updated_at', {}, '<'],
    ['-updated_at', { isBackward: true, isInclusive: true }, '>='],
  ])('of %s, with %o, are found by one comparison of rows', (ordering, flags, operator) => {
    expect(conditionOf(ordering, [TIME, ID], flags)).toMatchObject({
      sql: `("assignments"."updated_at", "assignments"."id") ${operator} ($1::timestamptz, $2::uuid)`,
      params: [TIME, ID],
    })
  })

  test('are found key by key if the directions differ', () => {
    const { sql } = conditionOf('status,-created_at', ['done', ID])
    expect(sql).toBe(
      '"assignments"."status" >= $1::assignment_status and ' +
        '("assignments"."status" > $2::assignment_status or ' +
        '("assignments"."status" = $3::assignment_status and "assignments"."id" < $4::uuid))',
    )
    expect(conditionOf('status,-created_at', ['done', ID], { isInclusive: true }).sql).toBe(
      sql.replace('"id" < $4', '"id" <= $4'),
    )
  })
})

describe('the keys of a cursor', () => {
  test.each([
    ['-created_at', [ID], true],
    ['updated_at', [TIME, ID], true],
    ['name', ["'; drop table users; --", ID], true],
    ['status,name', ['in progress', '', ID], true],
    ['-created_at', [], false],
    ['-created_at', ['1'], false],
    ['-created_at', [ID, ID], false],
    ['updated_at', ['2026-13-01T00:00:00.000Z', ID], false],
    ['updated_at', ['0000-01-01T00:00:00.000Z', ID], false],
    ['updated_at', ['infinity', ID], false],
    ['name', ['a\0b', ID], false],
    ['name', ['a\ud800b', ID], false],
    ['status', ['finished', ID], false],
  ])('of %s: %j is valid: %s', (ordering, keys, isValid) => {
    expect(cursorKeysSchema(parse(ordering)).safeParse(keys).success).toBe(isValid)
  })
})

describe('a page', () => {
  const page = (rows: number[], cursor?: { keys: string[]; isBackward?: boolean }) =>
    toPage(rows, 2, (row) => [String(row)], cursor && { isBackward: false, isInclusive: false, ...cursor })
  const after = (key: number, isInclusive = false) => ({ keys: [String(key)], isBackward: false, isInclusive })
  const before = (key: number, isInclusive = false) => ({ keys: [String(key)], isBackward: true, isInclusive })
  const none = undefined

  test.each([
    ['the only one', page([1, 2]), { rows: [1, 2], next: none, previous: none }],
    ['the first', page([1, 2, 3]), { rows: [1, 2], next: after(2), previous: none }],
    ['one in the middle', page([3, 4, 5], { keys: ['2'] }), { rows: [3, 4], next: after(4), previous: before(3) }],
    ['the last', page([5], { keys: ['4'] }), { rows: [5], next: none, previous: before(5) }],
    ['an empty list', page([]), { rows: [], next: none, previous: none }],
    ['one before', page([4, 3, 2], before(5)), { rows: [3, 4], next: after(4), previous: before(3) }],
    ['the first, reached backward', page([2, 1], before(3)), { rows: [1, 2], next: after(2), previous: none }],
  ])('that is %s links to its neighbours', (_, actual, expected) => {
    expect(actual).toEqual(expected)
  })

  test('that has become empty leads back to where it was reached from', () => {
    expect(page([], { keys: ['9'] })).toEqual({ rows: [], next: none, previous: before(9, true) })
    expect(page([], before(1))).toEqual({ rows: [], next: after(1, true), previous: none })
  })
})
