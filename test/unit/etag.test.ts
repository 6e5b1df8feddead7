import { expect, test } from 'vitest'
import { etagOf, namedVersions } from '../../src/http/etag.ts'

test('a version is named by its own tag, and lists by all of theirs', () => {
  expect(namedVersions(etagOf({ version: 3 }))).toEqual([3])
  expect(namedVersions(' "3" ,"4",, W/"12-gzip" ,5')).toEqual([3, 4, 12, 5])
  expect(namedVersions('*')).toBe('any')
  expect(namedVersions(' * ')).toBe('any')
})

test.each(
  ['W/"3"', '"3-gzip"', '"3;gzip"', '"3--gzip"', '"3-br"', '"3-deflate"', '"3-zstd"', 'W/"3-gzip"', '3'].concat([
    ...['"3:gzip"', '"3+gzip"', '"3.gz"', '"3_br"', '"3-gzip-br"', '"3-x-gzip"', '"3-GZIP"'],
  ]),
)('%s names version 3, as proxies alter it', (tag) => {
  expect(namedVersions(tag)).toEqual([3])
})

test.each(
  ['"x"', '"03"', '"0"', '"-3"', '"3.0"', '"3-4"', '"3gzip"', '"3-"', '""', '"*"', '"x3-gzip"', '"a,3,b"'].concat([
    ...['"9999999999"', '9999999999', '0', '03', 'W/""'],
  ]),
)('%s names no version', (tag) => {
  expect(namedVersions(tag)).toEqual([])
})

test.each(
  ['"3', '3"', "'3'", 'w/"3"', 'W/3', 'W/ "3"', '3-gzip', '"3 "', '', ',', '3 4', '+3', '-3', '3.0', '"3""4"'].concat([
    ...['x', '"3", x', '*, "3"', '**', '"3"x'],
  ]),
)('%s is no list of entity tags', (tag) => {
  expect(namedVersions(tag)).toBeUndefined()
})
