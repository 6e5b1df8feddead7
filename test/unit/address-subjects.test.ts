import { expect, test } from 'vitest'
import { addressSubject } from '../../src/mail/addresses.ts'

test.each([
  'victim@example.com',
  'VICTIM@EXAMPLE.COM',
  'victim@example․com',
  'victim@ｅxample․com',
  'victim@𝐞xample․com',
  'victim@exⓐmple․com',
  'victim@example。com',
])('%s counts as victim@example.com', (spelling) => {
  expect(addressSubject(spelling)).toBe('victim@example.com')
})

test('an internationalized domain counts as its punycode', () => {
  expect(addressSubject('ada@BÜCHER.example')).toBe(addressSubject('ada@xn--bcher-kva.example'))
})

// Normalizing such a domain would block the thread for seconds.
test('a long domain of combining marks is not normalized', { timeout: 2_000 }, () => {
  const address = `a@${'\u0301\u0316'.repeat(65_000)}`
  expect(addressSubject(address)).toBe(address)
})
