import { describe, expect, test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'
import { until } from '../support/wait.ts'

const docket = await openDocket()
const { call, createUser } = docket

const JSON_TYPE = { 'Content-Type': 'application/json' }
const LOGIN = { email: 'a@example.com', password: PASSWORD }

/** A body that is sent in chunks, without Content-Length. */
const chunked = (...chunks: string[]) => ReadableStream.from(chunks.map((chunk) => new TextEncoder().encode(chunk)))

describe('a request body', () => {
  test.each([
    ['no JSON', '{', 400, 'malformed_request'],
    ['nothing', '', 400, 'malformed_request'],
    ['an array', '[]', 400, 'malformed_request'],
    ['a string', '"x"', 400, 'malformed_request'],
    ['null', 'null', 400, 'malformed_request'],
    [
      'invalid UTF-8',
      new Uint8Array([...'{"email":"'].map((c) => c.charCodeAt(0)).concat(0xff, 0x22, 0x7d)),
      400,
      'malformed_request',
    ],
    ['a million levels', '['.repeat(120_000) + ']'.repeat(120_000), 400, 'malformed_request'],
    ['over 256 KiB', `{"email":"${'a'.repeat(262_144)}"}`, 413, 'payload_too_large'],
    [
      'over 256 KiB in chunks',
      chunked('{"email":"', 'a'.repeat(200_000), 'a'.repeat(200_000)),
      413,
      'payload_too_large',
    ],
  ])('that is %s is rejected', async (_, body, status, code) => {
    expect(await call('POST', '/accounts/login/', { body, headers: JSON_TYPE })).toMatchObject({
      status,
      body: { code },
    })
  })

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonp',
    'application/merge-patch+json',
    'application/json; charset=latin-1',
    'application/json; charset=utf-16',
    'application/json; charset="utf-8"; charset=latin-1',
    "application/json; charset='utf-8'",
    'application/json; charset',
    'application/json charset=utf-8',
    'application/json, application/json',
    'application /json',
    'x',
  ])('of type %s is rejected, also where every field is optional', async (type) => {
    const { token } = await createUser()
    for (const path of ['/accounts/login/', '/accounts/change/', '/accounts/logout/']) {
      const answer = await call('POST', path, { token, body: '{}', headers: { 'Content-Type': type } })
      expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } })
      expect(answer.headers.get('Accept')).toBe('application/json')
    }
    const unknown = await call('POST', '/assignments/', { token: 'x', body: '{}', headers: { 'Content-Type': type } })
    expect(unknown).toMatchObject({ status: 401 })
  })

  test.each([
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
    'application/json;',
    'application/json ; charset=utf-8',
    'application/json;;charset=UTF8 ; ',
    'application/json\t;\tcharset=utf-8',
    'application/json; profile="https://example.com/a;b\\"c"; charset=utf-8',
    'application/json;odata.metadata=minimal;IEEE754Compatible=true;charset=utf-8',
    'application/json; charset="utf\\-8"; v=""',
  ])('of type %s is accepted', async (type) => {
    const { token } = await createUser()
    const headers = { 'Content-Type': type }
    const change = { token, body: { first_name: 'A' }, headers }
    expect(await call('POST', '/accounts/change/', change)).toMatchObject({ status: 200, body: { first_name: 'A' } })
    const invalid = await call('POST', '/accounts/change/', { token, body: { first_name: 1 }, headers })
    expect(invalid).toMatchObject({ status: 400, body: { errors: [{ in: 'body', pointer: '/first_name' }] } })
    expect(await call('POST', '/accounts/logout/', { token, body: {}, headers })).toMatchObject({ status: 204 })
  })

  test.each(['gzip', 'br', 'zstd', 'deflate, gzip', 'identity, GZIP', 'x'])(
    'with Content-Encoding %s is rejected with the encoding that is accepted',
    async (encoding) => {
      const { token } = await createUser()
      const headers = { ...JSON_TYPE, 'Content-Encoding': encoding }
      const answer = await call('POST', '/accounts/change/', { token, body: new Uint8Array([31, 139, 8, 0]), headers })
      expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } })
      expect(answer.headers.get('Accept-Encoding')).toBe('identity')
      expect(answer.headers.get('Accept')).toBeNull()
    },
  )

  test.each(['identity', 'Identity', ''])('with Content-Encoding "%s" is accepted', async (encoding) => {
    const { token } = await createUser()
    const headers = { ...JSON_TYPE, 'Content-Encoding': encoding }
    const change = { token, body: { first_name: 'A' }, headers }
    expect(await call('POST', '/accounts/change/', change)).toMatchObject({ status: 200 })
  })

  test('of another type in a PATCH is rejected with Accept-Patch', async () => {
    const { token } = await createUser()
    const { body } = await call('POST', '/assignments/', { token, body: { name: 'x' } })
    const patch = (type: string) =>
      call('PATCH', `/assignments/${body.id}/`, { token, body: '{"name":"y"}', headers: { 'Content-Type': type } })
    const refused = await patch('application/json-patch+json')
    expect(refused).toMatchObject({ status: 415 })
    for (const name of ['Accept', 'Accept-Patch']) {
      expect(refused.headers.get(name)).toBe('application/json, application/merge-patch+json')
    }
    expect(await patch('application/merge-patch+json; charset=UTF-8')).toMatchObject({
      status: 200,
      body: { name: 'y' },
    })
    const options = { token, body: '{"name":"z"}', headers: { 'Content-Type': 'application/merge-patch+json' } }
    expect(await call('PUT', `/assignments/${body.id}/`, options)).toMatchObject({ status: 415 })
  })

  test('is not read when the query has a broken escape or is not UTF-8', async () => {
    for (const query of ['%', '=', 'a=1&=2', '%zz', 'a=%e0%a4%a', 'a=%ff']) {
      const response = await call('POST', `/accounts/login/?${query}`, { body: LOGIN })
      expect(response).toMatchObject({ status: 400, body: { code: 'malformed_request' } })
    }
  })
})

test('a body is checked even if the route needs none', async () => {
  const { token } = await createUser()
  const logout = (body: unknown) => call('POST', '/accounts/logout/', { token, body })
  expect(await logout('{')).toMatchObject({ status: 400, body: { code: 'malformed_request' } })
  expect(await logout({ a: 1 })).toMatchObject({ status: 400, body: { errors: [{ in: 'body', pointer: '/a' }] } })
  expect(await logout(`"${'x'.repeat(300_000)}"`)).toMatchObject({ status: 413 })
  expect(await logout('"x"')).toMatchObject({ status: 400, body: { code: 'malformed_request' } })
  expect(await logout('[]')).toMatchObject({ status: 400, body: { code: 'malformed_request' } })
  expect(await logout('0')).toMatchObject({ status: 400, body: { code: 'malformed_request' } })
  expect(await logout({})).toMatchObject({ status: 204 })
})

test.each([
  ['null', 'application/json'],
  ['null', 'application/x-www-form-urlencoded'],
  ['""', 'application/json'],
  ['""', 'text/plain;charset=UTF-8'],
  ['\ufeff\t\r\n ', 'application/octet-stream'],
  [' null\n', 'x'],
  ['', 'application/json'],
  [chunked('nu', 'll'), 'application/json'],
  [chunked(), 'application/json'],
])('a body of %j and type %s counts as none where none is expected', async (body, type) => {
  const { token } = await createUser()
  const headers = { 'Content-Type': type }
  expect(await call('POST', '/accounts/logout/', { token, body, headers })).toMatchObject({ status: 204 })
  expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
})

test('a body that counts as none deletes an assignment, too', async () => {
  const { token } = await createUser()
  const { body } = await call('POST', '/assignments/', { token, body: { name: 'x' } })
  expect(await call('DELETE', `/assignments/${body.id}/`, { token, body: 'null' })).toMatchObject({ status: 204 })
})

test('an unknown query parameter is rejected by name', async () => {
  const { token } = await createUser()
  expect(await call('GET', '/accounts/?verbose=1&verbose=2', { token })).toMatchObject({
    status: 400,
    body: { code: 'invalid_request', errors: [{ in: 'query', pointer: '/verbose' }] },
  })
})

describe('a request with many invalid inputs', () => {
  const quarterMegabyte = 260_000

  test('gets at most 100 errors, and the number of the others', async () => {
    const body = Object.fromEntries(Array.from({ length: 15_000 }, (_, index) => [`field${index}`, 1]))
    const response = await call('POST', '/accounts/login/', { body: { ...LOGIN, ...body } })
    expect(response).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    expect(response.body.detail).toBe('/field0: Unknown field, and 14999 more.')
    expect(response.body.errors).toHaveLength(100)
    expect(response.text.length).toBeLessThan(10_000)
  })

  test('gets back only the beginning of a long name', async () => {
    const { token } = await createUser()
    for (const name of ['x'.repeat(quarterMegabyte), '😀'.repeat(quarterMegabyte / 4), '~'.repeat(quarterMegabyte)]) {
      for (const path of ['/accounts/login/', '/accounts/logout/', '/assignments/']) {
        const { status, body, text } = await call('POST', path, { token, body: { [name]: 1 } })
        expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' })
        expect(text.length).toBeLessThan(2_000)
        expect(text.isWellFormed()).toBe(true)
      }
    }
  })

  test('is told which fields are required', async () => {
    const { body } = await call('POST', '/accounts/login/', { body: {} })
    expect(body.errors).toEqual([
      { in: 'body', pointer: '/email', message: 'Required' },
      { in: 'body', pointer: '/password', message: 'Required' },
    ])
  })
})

test.each([
  ['GET', '/assignments/?ordering=age'],
  ['GET', '/assignments/?cursor=x'],
  ['GET', '/assignments/?as_of=2099-01-01'],
  ['GET', '/assignments/?%zz'],
  ['GET', '/assignments/no-uuid/'],
  ['GET', '/assignments/no-uuid/history/'],
  ['GET', '/assignments/01986f5e-7c00-7000-8000-0123456789ab/history/?cursor=x'],
  ['PATCH', '/assignments/no-uuid/', {}],
  ['POST', '/assignments/', 'no JSON'],
  ['GET', '/assignments/events/?cursor=x'],
  ['GET', '/assignments/reports/throughput/?from=2026-02-01&to=2026-01-01'],
  ['GET', '/assignments/reports/flow/?bucket=hour&from=2020-01-01&format=svg'],
  ['GET', '/accounts/?x=1'],
  ['POST', '/accounts/change/', {}],
  ['POST', '/accounts/password-change/', { old_password: 'x', new_password: 'x' }],
  ['POST', '/accounts/logout/', 'no JSON'],
  ['GET', '/accounts/sessions/?x=1'],
  ['DELETE', '/accounts/sessions/no-uuid/'],
])('a bad token is a 401, whatever else is wrong: %s %s', async (method, path, body?: unknown) => {
  for (const token of [undefined, 'dkt_unknown']) {
    const answer = await call(method, path, { ...(token && { token }), body })
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
    expect(answer.headers.get('WWW-Authenticate')).toBe(token ? 'Bearer error="invalid_token"' : 'Bearer')
  }
  const { token } = await createUser()
  expect((await call(method, path, { token, body })).status).toBeGreaterThan(399)
})

test('an unknown path is a 404, and a wrong method a 405 with Allow', async () => {
  for (const path of ['/nope', '/accounts/nope/', '//accounts/', '/accounts//', '/%zz']) {
    expect(await call('GET', path)).toMatchObject({ status: 404, body: { code: 'not_found' } })
  }
  for (const [method, path, allow] of [
    ['DELETE', '/accounts/', 'GET, HEAD'],
    ['GET', '/accounts/login', 'POST'],
    ['PATCH', '/accounts/sessions/x/', 'DELETE'],
    ['POST', '/openapi.json', 'GET, HEAD'],
  ] as const) {
    const response = await call(method, path)
    expect(response).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
    expect(response.headers.get('Allow')).toBe(allow)
  }
})

test('HEAD responds as GET does, without the body', async () => {
  const { token } = await createUser()
  expect(await call('HEAD', '/accounts/', { token })).toMatchObject({ status: 200, text: '' })
  expect(await call('HEAD', '/accounts/')).toMatchObject({ status: 401, text: '' })
  expect(await call('HEAD', '/healthz')).toMatchObject({ status: 200, text: '' })
})

test('paths work with and without the trailing slash', async () => {
  const { token } = await createUser()
  expect((await call('GET', '/accounts', { token })).text).toBe((await call('GET', '/accounts/', { token })).text)
  expect(await call('POST', '/accounts/logout', { token })).toMatchObject({ status: 204 })
})

test('every response has the security headers, errors too', async () => {
  for (const path of ['/healthz', '/nope', '/accounts/']) {
    const { headers } = await call('GET', path, { headers: { 'X-Request-Id': 'my-own_1' } })
    expect(headers.get('X-Request-Id')).toBe('my-own_1')
    expect(headers.get('Cache-Control')).toBe('no-store')
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
    expect(headers.get('Referrer-Policy')).toBe('no-referrer')
    expect(headers.get('Content-Security-Policy')).toBe("default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
    expect(headers.get('Set-Cookie')).toBeNull()
  }
})

test('an unsafe request id is replaced', async () => {
  for (const unsafe of ['a b', 'x'.repeat(256), '<script>', '"}']) {
    const { headers, body } = await call('GET', '/nope', { headers: { 'X-Request-Id': unsafe } })
    expect(headers.get('X-Request-Id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(body.request_id).toBe(headers.get('X-Request-Id'))
  }
})

describe('a database that fails', () => {
  test.each(['test', 'database'] as const)('gives a 503 with Retry-After (clock: %s)', async (clockKind) => {
    const { call } = await openDocket({}, { database: 'postgres://docket:secret@127.0.0.1:1/docket', clockKind })
    for (const [method, path] of [
      ['GET', '/accounts/'],
      ['POST', '/accounts/login/'],
      ['GET', '/readyz'],
    ] as const) {
      const options = { token: 'dkt_x', ...(method === 'POST' && { body: LOGIN }) }
      const { status, headers, body } = await call(method, path, options)
      const retryAfter = headers.get('Retry-After')
      expect({ status, retryAfter, code: body.code }).toEqual({ status: 503, retryAfter: '2', code: 'unavailable' })
      expect(JSON.stringify(body)).not.toMatch(/127\.0\.0\.1|secret|ECONN/)
    }
    for (const path of ['/healthz', '/openapi.json']) expect(await call('GET', path)).toMatchObject({ status: 200 })
  })

  test('gives a 503 if its name or user is wrong', async () => {
    const [wrongName, wrongUser] = [new URL(docket.url), new URL(docket.url)]
    wrongName.pathname = '/does_not_exist'
    wrongUser.username = 'nobody'
    // The pooler of the tests logs in as one user for all.
    const urls = process.env.TEST_POOLER_URL ? [wrongName] : [wrongName, wrongUser]
    for (const { href } of urls) {
      const { call } = await openDocket({}, { database: href })
      expect(await call('GET', '/accounts/', { token: 'dkt_x' })).toMatchObject({ status: 503 })
    }
  })

  test('gives a 503 after a timeout if a table is locked', async () => {
    const locker = connect(docket.url, { max: 1 })
    const { token } = await createUser()
    await locker.db.execute('begin')
    await locker.db.execute('lock table sessions in access exclusive mode')
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 503, body: { code: 'unavailable' } })
    // A late cancellation would hit the next statement.
    const waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    await until(async () => (await docket.db.execute(waiting)).length === 0)
    await locker.db.execute('rollback')
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
    await locker.close()
  })

  test('is not ready before it is migrated', async () => {
    expect(await call('GET', '/readyz')).toMatchObject({ status: 200 })
    const { call: callOther, db } = await openDocket()
    await db.execute('drop schema drizzle cascade')
    const response = await callOther('GET', '/readyz')
    expect(response).toMatchObject({ status: 503, body: { detail: 'The database is not migrated.' } })
  })
})

test('a bug is a 500 whose cause is logged and not returned', async () => {
  const { call, db, logLines } = await openDocket()
  await db.execute('alter table users rename column first_name to given_name')
  const { status, body } = await call('POST', '/accounts/login/', { body: LOGIN })
  expect({ status, code: body.code }).toEqual({ status: 500, code: 'internal_error' })
  expect(JSON.stringify(body)).not.toMatch(/first_name|column|select/)
  const logged = logLines()
    .map((line) => JSON.parse(line))
    .find(({ level }) => level === 'error')
  expect(logged).toMatchObject({ request_id: body.request_id, error: { type: 'PostgresError', code: '42703' } })
  expect(JSON.stringify(logged)).not.toContain(LOGIN.email)
})
