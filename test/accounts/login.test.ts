import { eq } from 'drizzle-orm'
import { describe, expect, inject, test } from 'vitest'
import { createSession } from '../../src/accounts/sessions.ts'
import { sessions } from '../../src/database/schema.ts'
import { type Json, openDocket, PASSWORD } from '../support/fixtures.ts'

const isWorkers = inject('runtime') === 'workers'
const { call, logIn, createUser, advance, now, db } = await openDocket()

test('an unknown address and a wrong password get the same response', async () => {
  const user = await createUser()
  const wrong = await logIn(user.email, 'wrong horse battery')
  const unknown = await logIn('unknown@example.com', PASSWORD)
  expect({ ...unknown.body, request_id: '' }).toEqual({ ...wrong.body, request_id: '' })
  expect([...unknown.headers.keys()]).toEqual([...wrong.headers.keys()])
  expect(wrong.headers.get('WWW-Authenticate')).toBe('Bearer')
})

describe('a token', () => {
  test('is accepted only after the schemes Bearer and Token, in any case', async () => {
    const { token } = await createUser()
    for (const scheme of ['Bearer', 'bearer', 'TOKEN', 'Token', 'Token  ']) {
      const headers = { Authorization: `${scheme} ${token}` }
      expect(await call('GET', '/accounts/', { headers })).toMatchObject({ status: 200 })
    }
    for (const headers of [
      {},
      { Authorization: token },
      { Authorization: `Basic ${token}` },
      { Authorization: `Bearer ${token} ${token}` },
      { Cookie: `token=${token}` },
    ] as Record<string, string>[]) {
      expect(await call('GET', '/accounts/', { headers })).toMatchObject({
        status: 401,
        body: { code: 'unauthenticated' },
      })
    }
    expect(await call('GET', `/accounts/?token=${token}`)).toMatchObject({ status: 401 })
  })

  test('is requested when missing and called invalid when wrong', async () => {
    const missing = await call('GET', '/accounts/')
    expect(missing.headers.get('WWW-Authenticate')).toBe('Bearer')
    const bad = await call('GET', '/accounts/', { token: 'dkt_no' })
    expect(bad.headers.get('WWW-Authenticate')).toBe('Bearer error="invalid_token"')
  })

  test('is checked before the rest of the request', async () => {
    for (const [method, path, body] of [
      ['POST', '/accounts/change/?x=%zz', '{'],
      ['POST', '/accounts/password-change/', 'x'.repeat(300_000)],
      ['DELETE', '/accounts/sessions/no-uuid/', undefined],
    ] as const) {
      expect(await call(method, path, { body, headers: { 'Content-Type': 'text/plain' } })).toMatchObject({
        status: 401,
      })
    }
  })

  test('ends at logout, and other sessions go on', async () => {
    const { email, token } = await createUser()
    const other = (await logIn(email, PASSWORD)).body.token
    expect(await call('POST', '/accounts/logout/', { token })).toMatchObject({ status: 204, text: '' })
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
    expect(await call('GET', '/accounts/', { token: other })).toMatchObject({ status: 200 })
  })

  test('expires after 30 days', async () => {
    const { token } = await createUser()
    advance(30 * 86_400 - 1)
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 200 })
    advance(1)
    expect(await call('GET', '/accounts/', { token })).toMatchObject({ status: 401 })
  })

  test('is stored only as its SHA-256', async () => {
    const { id, token } = await createUser()
    const [row] = await db.select().from(sessions).where(eq(sessions.user_id, id))
    const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token)))
    expect(new Uint8Array(row?.token_hash ?? [])).toEqual(sha256)
    expect(JSON.stringify(row)).not.toContain(token.slice(4))
  })
})

describe('sessions', () => {
  test('are listed, with the current one marked, and ended one by one', async () => {
    const { email, token } = await createUser()
    advance(1)
    const other = (await logIn(email, PASSWORD, { headers: { 'User-Agent': 'x'.repeat(999) } })).body.token
    const list = await call('GET', '/accounts/sessions/', { token })
    expect(list.body.results).toHaveLength(2)
    const [newest, current] = list.body.results
    expect([newest.current, current.current]).toEqual([false, true])
    expect(newest.user_agent).toBe('x'.repeat(256))

    expect(await call('DELETE', `/accounts/sessions/${newest.id}`, { token })).toMatchObject({ status: 204 })
    expect(await call('DELETE', `/accounts/sessions/${newest.id}`, { token })).toMatchObject({ status: 404 })
    expect(await call('GET', '/accounts/', { token: other })).toMatchObject({ status: 401 })
  })

  test.each([
    ['UTF-8', Buffer.from('Zoë 🦊 Ã©'), 'Zoë 🦊 Ã©'],
    ['ASCII', Buffer.from('curl/8.14.1'), 'curl/8.14.1'],
    ['256 characters of four bytes', Buffer.from('🦊'.repeat(300)), '🦊'.repeat(256)],
    ['a character at the cut', Buffer.from(`${'x'.repeat(255)}🦊🦊`), `${'x'.repeat(255)}🦊`],
    ['ISO 8859-1', Buffer.from('Zoë', 'latin1'), isWorkers ? 'Zo\ufffd' : 'Zoë'],
    ['a surrogate', Buffer.from('x\xed\xa0\xbd', 'latin1'), isWorkers ? expect.any(String) : 'x\xed\xa0\xbd'],
  ])('show the user agent as it was sent: %s', async (_, bytes, shown) => {
    const { email } = await createUser()
    // fetch takes each byte of a header as a character.
    const login = await logIn(email, PASSWORD, { headers: { 'User-Agent': bytes.toString('latin1') } })
    const list = await call('GET', '/accounts/sessions/', { token: login.body.token })
    expect(list.body.results.find(({ current }: Json) => current).user_agent).toEqual(shown)
  })

  test('beyond 100 end, the oldest first', async () => {
    const { id, email, password_version, token: oldest } = await createUser()
    const session = { user_id: id, password_version, user_agent: null, days: 30 }
    const list = async (token: string) => (await call('GET', '/accounts/sessions/', { token })).body.results as Json[]
    // Neither counts: an expired session, and one of an old password.
    await createSession(db, { ...session, days: -1 }, now())
    const { id: superseded } = await createSession(db, session, now())
    await db.update(sessions).set({ password_version: 0 }).where(eq(sessions.id, superseded))
    for (let number = 0; number < 98; number++) {
      advance(1)
      await createSession(db, session, now())
    }
    advance(1)
    const hundredth = (await logIn(email, PASSWORD)).body.token
    expect(await list(oldest)).toHaveLength(100)
    const { token } = (await logIn(email, PASSWORD)).body
    expect(await call('GET', '/accounts/', { token: oldest })).toMatchObject({ status: 401 })
    expect(await list(token)).toHaveLength(100)
    expect(await call('GET', '/accounts/', { token: hundredth })).toMatchObject({ status: 200 })
  })

  test('of other users get the same 404 as unknown and malformed ids', async () => {
    const [mine, theirs] = [await createUser(), await createUser()]
    const list = await call('GET', '/accounts/sessions/', { token: theirs.token })
    const responses = []
    for (const id of [list.body.results[0].id, '01986f5e-7c00-7000-8000-0123456789ab', 'no-uuid', '%00', '%zz']) {
      const { status, body } = await call('DELETE', `/accounts/sessions/${id}/`, { token: mine.token })
      responses.push({ status, ...body, request_id: '' })
    }
    expect(new Set(responses.map((response) => JSON.stringify(response))).size).toBe(1)
    expect(responses[0]).toMatchObject({ status: 404, code: 'not_found' })
    expect(await call('GET', '/accounts/', { token: theirs.token })).toMatchObject({ status: 200 })
  })
})
