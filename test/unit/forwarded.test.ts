import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { clientOf } from '../../src/http/forwarded.ts'
import type { Env } from '../../src/services.ts'

const app = new Hono<Env>().get('/', (c) => c.text(clientOf(c)))

const client = async (hops: string[], { address = '10.0.0.1', TRUST_PROXY = true } = {}) => {
  const headers = hops.map((hop): [string, string] => ['X-Forwarded-For', hop])
  return (await app.request('/', { headers }, { address, settings: { TRUST_PROXY } })).text()
}

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['192.0.2.7:5678', '192.0.2.7'],
  ['192.0.2.7:', '192.0.2.7'],
  ['"192.0.2.7:5678"', '192.0.2.7'],
  ['[192.0.2.7]:80', '192.0.2.7'],
  ['198.51.100.1, 192.0.2.7:5678', '192.0.2.7'],
  ['198.51.100.1,192.0.2.7', '192.0.2.7'],
  ['192.0.2.7,', '192.0.2.7'],
  ['198.51.100.1, 192.0.2.7, ,\t', '192.0.2.7'],
  ['2001:db8:1:2::9', '20010db800010002/64'],
  ['[2001:db8:1:2::9]', '20010db800010002/64'],
  ['[2001:db8:1:2::9]:443', '20010db800010002/64'],
  ['"[2001:DB8:1:2::9]:443"', '20010db800010002/64'],
  ['[2001:db8:1:2::9]:_port', '20010db800010002/64'],
  ['2001:db8:1:2::9:50443', '20010db800010002/64'],
  ['2001:db8:1:2:3:4:5:6:443', '20010db800010002/64'],
  ['2001:db8:1:2::9%eth0', '20010db800010002/64'],
  ['fe80::1%eth0', 'fe80000000000000/64'],
  ['[fe80::1%25eth0]:443', 'fe80000000000000/64'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::FFFF:c000:207', '192.0.2.7'],
  ['[::ffff:192.0.2.7]:5678', '192.0.2.7'],
  ['::ffff:192.0.2.7:5678', '192.0.2.7'],
])('the client of %s is %s', async (hop, expected) => {
  expect(await client([hop])).toBe(expected.replace(/^0+/, ''))
})

test.each(
  ['', ' ', ',', 'unknown', '_hidden', 'unknown:80', '192.0.2.7, unknown', '1.2.3', '256.1.1.1', '1.2.3.4.5'].concat([
    ...[
      '[',
      '[]',
      '[]:80',
      ':80',
      '[2001:db8::9',
      '2001:db8::9]',
      '1::2::3',
      'g::1',
      'example.com',
      '192.0.2.7/24',
      '%eth0',
    ],
  ]),
)('the client of "%s" is the peer', async (hop) => {
  expect(await client([hop])).toBe('10.0.0.1')
})

test('of several header lines the last hop counts', async () => {
  expect(await client(['198.51.100.1', '192.0.2.7'])).toBe('192.0.2.7')
  expect(await client(['198.51.100.1, 192.0.2.7', ''])).toBe('192.0.2.7')
  expect(await client([])).toBe('10.0.0.1')
})

test('without TRUST_PROXY the client is the peer', async () => {
  expect(await client(['192.0.2.7'], { TRUST_PROXY: false })).toBe('10.0.0.1')
  expect(await client([], { address: '::ffff:192.0.2.9', TRUST_PROXY: false })).toBe('192.0.2.9')
  expect(await client([], { address: 'fe80::2%eth0', TRUST_PROXY: false })).toBe('fe80000000000000/64')
  expect(await client(['x'], { address: '' })).toBe('unknown')
})
