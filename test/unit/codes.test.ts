import { expect, test } from 'vitest'
import { hashCode, newCode } from '../../src/accounts/codes.ts'

const CODE = '7KQ2-M9XD-4HRT-V8CW'
const fullWidth = (code: string) =>
  code.replace(/[0-9A-Z-]/g, (character) => String.fromCharCode(character.charCodeAt(0) + 0xfee0))

const dashes = [
  ...'\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad\u2043\u207b\u208b\ufe58\ufe63\uff0d\u30fc\u2796\u301c\u058a_~',
]
const quotes = ['""', "''", '“”', '„“', '«»', '‘’', '``', '´´', '**', '<>', '()', '「」', '＂＂']

test.each([
  ...dashes.map((dash) => CODE.replaceAll('-', dash)),
  ...quotes.map(([open, close]) => `${open}${CODE}${close}`),
  ...['.', ',', ';', '!', '…', '。', '．', '.\r\n', '\u0000'].map((end) => `${CODE}${end}`),
  `\ufeff\u200e${CODE.replaceAll('-', '\u200b-\u2060')}\u200f`,
  [...CODE].join('\u200d'),
  [...CODE].join('\ufe0f'),
  `\u00a0${CODE.replaceAll('-', '\u202f')}\u3000\r\n`,
  CODE.replaceAll('-', '\u2028'),
  CODE.replaceAll('-', '=\r\n-'),
  `│ ${CODE} │`,
  `\u2066${CODE}\u2069`,
  fullWidth(CODE),
  fullWidth(CODE).toLowerCase(),
  '𝟕𝐊𝐐𝟐-M9XD-4HRT-V8CW',
])('reads %j as the code without its noise', (typed) => {
  expect(hashCode(typed)).toEqual(hashCode(CODE))
})

test.each(['', '7KQ2-M9XD-4HRT', `${CODE}-7`, '7KQ2-M9XD-4HRT-V8CÉ', '7KQ2-M9XD-4HRT-V8C\ud800', '-'.repeat(16)])(
  'takes %j for no code',
  (typed) => {
    expect(hashCode(typed)).toBeUndefined()
  },
)

// Normalizing such a text would block the thread for seconds.
test('a long text of combining marks is no code', { timeout: 2_000 }, () => {
  expect(hashCode('\u0301\u0316'.repeat(65_000))).toBeUndefined()
})

test('a new code is read as itself', () => {
  for (let count = 0; count < 100; count++) expect(hashCode(newCode())).toBeDefined()
})
