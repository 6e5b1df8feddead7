import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { createEmailChange } from '../../src/accounts/email-changes.ts'
import { createPasswordReset } from '../../src/accounts/password-resets.ts'
import { sessions } from '../../src/database/schema.ts'
import { generateLog, insertLog } from '../reference/event-log.ts'
import { fewerOnWorkers, type Json, openDocket, PASSWORD } from '../support/fixtures.ts'

const docket = await openDocket()
const { call, request, createUser, logIn, advance, db, now, drain } = docket

type User = Awaited<ReturnType<typeof createUser>>

/** Where the rows of each table that are about an account are found in its export. */
const PLACES: Record<string, string> = {
  users: 'account',
  sessions: 'sessions',
  email_changes: 'pending.email_change',
  password_resets: 'pending.password_reset',
  assignments: 'assignments',
  assignment_search: 'assignments, whose texts it has',
  assignment_events: 'events',
}

const download = ({ token }: User, signal?: AbortSignal) =>
  request(
    '/accounts/export/',
    { headers: { Authorization: `Bearer ${token}` }, ...(signal && { signal }) },
    '192.0.2.7',
  )

async function exportOf(user: User): Promise<Json> {
  const response = await download(user)
  expect(response.status).toBe(200)
  return (await response.json()) as Json
}

const create = ({ token }: User, body: Json) => call('POST', '/assignments/', { token, body })

/** Returns all results of a list. */
async function readAll({ token }: User, path: string): Promise<Json[]> {
  const results: Json[] = []
  for (let next: string | null = path; next; ) {
    const { body } = await call('GET', next, { token })
    results.push(...body.results)
    next = body.results.length === 0 ? null : body.next
  }
  return results
}

test('an export is a file with everything that the API shows to its account', async () => {
  const [ada, bob] = [await createUser(), await createUser()]
  await logIn(ada.email, PASSWORD)
  await createEmailChange(db, { account: ada, password_version: 1 }, 'new@example.org', now())
  await createPasswordReset(db, ada.email, now())
  for (let index = 0; index < 150; index++) {
    const isGiven = index % 3 === 0
    const { body } = await create(isGiven ? bob : ada, { name: `Name ${index}`, assignee: index % 2 ? bob.id : ada.id })
    advance(1)
    if (index % 5 === 0) await call('PATCH', `/assignments/${body.id}/`, { token: ada.token, body: { status: 'done' } })
    if (index % 7 === 0) await call('DELETE', `/assignments/${body.id}/`, { token: ada.token })
  }
  const response = await download(ada)
  expect(response.headers.get('Content-Type')).toBe('application/json')
  expect(response.headers.get('Content-Disposition')).toBe('attachment; filename="docket-2026-11-22.json"')
  const exported = (await response.json()) as Json
  const expiry = new Date(now().getTime() - 150_000 + 15 * 60_000).toISOString()
  expect(exported).toEqual({
    account: (await call('GET', '/accounts/', { token: ada.token })).body,
    sessions: (await call('GET', '/accounts/sessions/', { token: ada.token })).body.results,
    pending: {
      email_change: { email: 'new@example.org', expires_at: expiry },
      password_reset: { expires_at: expiry },
    },
    assignments: (await readAll(ada, '/assignments/?ordering=created_at&limit=100')).sort((a, b) =>
      a.id < b.id ? -1 : 1,
    ),
    events: await readAll(ada, '/assignments/events/?cursor=start&limit=100'),
  })
  expect(exported.assignments.length).toBeGreaterThan(100)
  expect(exported.events.length).toBeGreaterThan(100)
})

test('every table that names an account is in the export, and nothing of others', async () => {
  const [ada, bob] = [await createUser(), await createUser({ first_name: 'Hushhush', email: 'hushhush@example.com' })]
  await createEmailChange(db, { account: ada, password_version: 1 }, 'new@example.org', now())
  await createPasswordReset(db, ada.email, now())
  await create(ada, { name: 'Own' })
  await create(bob, { name: 'Hushhush plan' })
  const columns = await db.execute<{ table: string; column: string }>(sql`
    select table_name as "table", column_name as "column" from information_schema.columns
    join information_schema.tables using (table_schema, table_name)
    where table_schema = 'public' and table_type = 'BASE TABLE' and udt_name in ('uuid', '_uuid')`)
  const tables = new Set<string>()
  for (const { table, column } of columns) {
    const [found] = await db.execute(sql`
      select from ${sql.identifier(table)} where strpos(${sql.identifier(column)}::text, ${ada.id}) > 0 limit 1`)
    if (found) tables.add(table)
  }
  expect([...tables].sort()).toEqual(Object.keys(PLACES).sort())
  const exported = await exportOf(ada)
  expect(exported.sessions).toHaveLength(1)
  expect(exported.pending).toEqual({ email_change: expect.anything(), password_reset: expect.anything() })
  expect(exported.assignments).toHaveLength(1)
  expect(exported.events).toHaveLength(1)
  const text = JSON.stringify(exported)
  expect(text).not.toMatch(/hushhush/i)
  expect(text).not.toContain(bob.id)
  const [secrets] = await db.execute<Record<string, string>>(sql`
    select users.password, encode(sessions.token_hash, 'hex') as token, encode(password_resets.code_hash, 'hex') as reset
    from users join sessions on sessions.user_id = users.id join password_resets on password_resets.user_id = users.id
    where users.id = ${ada.id}`)
  for (const secret of Object.values(secrets ?? {})) expect(text).not.toContain(secret)
})

test('an empty account has an export, too', async () => {
  const ada = await createUser()
  expect(await exportOf(ada)).toMatchObject({
    account: { id: ada.id },
    pending: { email_change: null, password_reset: null },
    assignments: [],
    events: [],
  })
})

describe('while others write', () => {
  test('an export is the state at its start', async () => {
    const [ada, bob, cy] = [await createUser(), await createUser(), await createUser()]
    // Several parts, the first of which may be read before the changes.
    for (let part = 0; part < 6; part++) {
      await insertLog(db, generateLog([ada.id, bob.id, cy.id], now().getTime() - 60_000))
    }
    advance(60)
    const before = await exportOf(ada)
    expect(before.assignments.length).toBeGreaterThan(200)
    const { body } = await download(ada)
    const reader = (body as ReadableStream<Uint8Array>).getReader()
    const chunks = [(await reader.read()).value as Uint8Array]
    // Changes of every kind: new, changed, deleted, given away and received.
    const own: Json[] = before.assignments.filter(({ creator }: Json) => creator === ada.id)
    for (const [index, { id }] of own.slice(-fewerOnWorkers(60)).entries()) {
      const path = `/assignments/${id}/`
      const { token } = ada
      if (index % 3 === 0) await call('DELETE', path, { token })
      if (index % 3 === 1)
        await call('PATCH', path, { token, body: { name: 'Renamed', description: 'Changed', status: 'error' } })
      if (index % 3 === 2) {
        await call('PATCH', path, { token, body: { assignee: cy.id, name: 'Given away' } })
        await call('PATCH', path, { token, body: { assignee: ada.id } })
      }
    }
    const given: Json[] = before.assignments.filter(({ creator }: Json) => creator === bob.id)
    for (const { id } of given.slice(-4)) {
      await call('PATCH', `/assignments/${id}/`, { token: bob.token, body: { assignee: cy.id } })
    }
    for (let index = 0; index < 3; index++) await create(index ? ada : bob, { name: 'New', assignee: ada.id })
    for (let part = await reader.read(); !part.done; part = await reader.read()) chunks.push(part.value)
    expect(JSON.parse(Buffer.concat(chunks).toString())).toEqual(before)
  })
})

describe('an export breaks off, so that no client takes it for complete,', () => {
  /** Starts an export of 30 MB, which is too large for the buffers between the server and its reader. */
  async function startLarge() {
    const ada = await createUser()
    await db.execute(sql`
      insert into assignments (id, name, description, status, assignee, creator, created_at, updated_at, version)
      select gen_random_uuid(), 'Many', repeat('x', 10000), 'todo', ${ada.id}, ${ada.id}, ${now().toISOString()},
        ${now().toISOString()}, 1 from generate_series(1, 3000)`)
    const response = await download(ada)
    expect(response.status).toBe(200)
    return { ada, response }
  }

  test('if its session ends', async () => {
    const { ada, response } = await startLarge()
    await call('POST', '/accounts/logout/', { token: ada.token })
    await expect(response.arrayBuffer()).rejects.toThrow()
  })

  test('if its account is deleted', async () => {
    const { ada, response } = await startLarge()
    await call('POST', '/accounts/delete/', { token: ada.token, body: { password: PASSWORD } })
    await expect(response.arrayBuffer()).rejects.toThrow()
  })
})

test('a reader that leaves ends the export', async () => {
  const ada = await createUser()
  for (let index = 0; index < 3; index++) await create(ada, { name: 'A' })
  const { body } = await download(ada)
  await (body as ReadableStream).cancel()
  // Otherwise the background work would never be done.
  await drain()
})

test('a token is required, and exports are limited', async () => {
  const ada = await createUser()
  expect(await call('GET', '/accounts/export/', { token: 'dkt_unknown' })).toMatchObject({ status: 401 })
  expect(await call('HEAD', '/accounts/export/', { token: ada.token })).toMatchObject({ status: 200, text: '' })
  for (let count = 0; count < 20; count++) await exportOf(ada)
  expect(await call('GET', '/accounts/export/', { token: ada.token })).toMatchObject({ status: 429 })
  expect(await db.$count(sessions, sql`user_id = ${ada.id}`)).toBe(1)
})
