import postgres from 'postgres'
import { describe, expect, test } from 'vitest'
import { isConflict, isStalePlan, isUnavailable, isUnmigrated } from '../../src/database/errors.ts'

const errorOf = (code: string, severity = 'ERROR') =>
  Object.assign(new postgres.PostgresError('x'), { code, severity, message: 'x' })

// The codes of PostgreSQL 15 to 18 (appendix A of its manual) and what a request with them gets.
const decisions: Record<string, string> = {
  '503': `08000 08001 08003 08004 08006 08007 08P01
    25000 25001 25002 25003 25004 25005 25006 25007 25008 25P01 25P02 25P03 25P04
    26000 28000 28P01 3D000 40000 40001 40002 40003 40P01 42P05
    53000 53100 53200 53300 53400 55000 55006 55P02 55P03 55P04
    57000 57014 57P01 57P02 57P03 57P04 57P05 58000 58030 58P01 58P02 58P03 72000 F0000 F0001 HV000 HV00N`,
  '503, not migrated': '42P01',
  '500': `0A000 0B000 22P02 22001 22003 23503 23505 23514 2F005 39000 42501 42601 42703 42704 42804 42883 44000
    54000 54001 54011 54023 P0000 P0001 P0002 P0003 P0004 XX000 XX001 XX002`,
}

describe.each(Object.entries(decisions))('%s', (decision, codes) => {
  test.each(codes.split(/\s+/))('is the answer to %s', (code) => {
    const error = errorOf(code)
    const given = isUnmigrated(error) ? '503, not migrated' : isUnavailable(error) ? '503' : '500'
    expect(given).toBe(decision)
  })
})

test('an error that ends the connection is a 503 whatever its code', () => {
  for (const code of ['XX000', '42501', '0A000']) expect(isUnavailable(errorOf(code, 'FATAL'))).toBe(true)
})

test('a statement runs again after a conflict, and is planned anew after a change of the schema', () => {
  const codes = Object.values(decisions).flatMap((codes) => codes.split(/\s+/))
  expect(codes.filter((code) => isConflict(errorOf(code)))).toEqual(['23503', '40001', '40P01', '55P03'])
  expect(codes.filter((code) => isStalePlan(errorOf(code)))).toEqual(
    '0A000 42501 42601 42703 42704 42804 42883 XX000 26000 42P05 42P01'.split(' '),
  )
})
