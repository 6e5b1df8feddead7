import { afterAll, expect, test } from 'vitest'
import { createSession } from '../../src/accounts/sessions.ts'
import { app } from '../../src/app.ts'
import { openDocket, PASSWORD } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { openServices } from '../support/runtimes.ts'

const { createUser, url, now, db } = await openDocket()
const [ada, bob] = [await createUser(), await createUser()]
const proxy = await startProxy(url)
const { services, close } = openServices({ url: proxy.url, now, environment: {}, options: { max: 1 } })
afterAll(async () => {
  await close()
  proxy.close()
})

const send = (method: string, path: string, token: string, body?: object, headers = {}) => {
  const type = body && { 'Content-Type': 'application/json' }
  const init = {
    method,
    headers: { Authorization: `Bearer ${token}`, ...type, ...headers },
    body: JSON.stringify(body),
  }
  return app.request(path, init as RequestInit, { ...services, address: '192.0.2.1' })
}
const create = async () => {
  const created = await send('POST', '/assignments/', ada.token, { name: 'x', assignee: bob.id })
  return created.headers.get('Location') as string
}
/** Creates another session of Ada, and returns its token and id. */
const logIn = async () => {
  const { token } = await createSession(db, { user_id: ada.id, password_version: 1, user_agent: null, days: 1 }, now())
  const response = await send('GET', '/accounts/sessions/', token)
  const { results } = (await response.json()) as { results: { id: string; current: boolean }[] }
  return { token, session: results.find(({ current }) => current)?.id as string }
}

// The first use of a statement on a connection takes an extra round trip, so only the third request counts.
test.each<[status: number, trips: number, ...Parameters<typeof send>]>([
  [201, 1, 'POST', '/assignments/', ada.token, { name: 'x' }],
  [201, 1, 'POST', '/assignments/', ada.token, { name: 'x', assignee: bob.email }],
  [400, 1, 'POST', '/assignments/', ada.token, { name: 'x', assignee: 'nobody@example.com' }],
  [401, 1, 'POST', '/assignments/', 'dkt_unknown', { name: 'x' }],
  [200, 1, 'GET', '{id}', ada.token],
  [404, 1, 'GET', `/assignments/${ada.id}/`, ada.token],
  [401, 1, 'GET', '{id}', 'dkt_unknown'],
  [200, 1, 'PATCH', '{id}', bob.token, { status: 'done' }],
  [200, 1, 'PATCH', '{id}', ada.token, { name: 'y', assignee: ada.email }, { 'If-Match': '"1"' }],
  [200, 1, 'PUT', '{id}', ada.token, { name: 'y' }],
  [401, 1, 'PATCH', '{id}', 'dkt_unknown', { name: 'y' }],
  [404, 1, 'PATCH', `/assignments/${ada.id}/`, ada.token, { name: 'y' }],
  [403, 1, 'PATCH', '{id}', bob.token, { name: 'y' }, { 'If-Match': '"9"' }],
  [412, 1, 'PATCH', '{id}', ada.token, { name: 'y' }, { 'If-Match': '"9"' }],
  [400, 1, 'PATCH', '{id}', ada.token, {}],
  [204, 1, 'DELETE', '{id}', ada.token],
  [403, 1, 'DELETE', '{id}', bob.token],
  [412, 1, 'DELETE', '{id}', ada.token, undefined, { 'If-Match': '"9"' }],
  [200, 1, 'GET', '/assignments/', ada.token],
  [200, 1, 'GET', '/assignments/?search=report&count=true&status=done&ordering=name', ada.token],
  [200, 1, 'GET', '{id}history/', ada.token],
  [200, 1, 'GET', '/assignments/events/', ada.token],
  [200, 1, 'GET', '/assignments/events/?cursor=start&limit=100', bob.token],
  [200, 1, 'GET', '/assignments/reports/throughput/', ada.token],
  [200, 1, 'GET', '/assignments/reports/flow/?format=svg', ada.token],
  [200, 1, 'GET', '/assignments/?as_of=2026-06-01&search=x', ada.token],
  [200, 1, 'GET', '{id}?as_of=2026-11-22T10:00:00Z', ada.token],
  [400, 1, 'GET', '/assignments/?cursor=x', ada.token],
  [401, 1, 'GET', '/assignments/?cursor=x', 'dkt_unknown'],
  [401, 1, 'GET', '/assignments/', 'dkt_unknown'],
  [404, 1, 'GET', `/assignments/${ada.id}/history/`, ada.token],
  [200, 1, 'GET', '/accounts/', ada.token],
  [200, 1, 'POST', '/accounts/change/', ada.token, { first_name: 'Augusta' }],
  [200, 1, 'GET', '/accounts/sessions/', ada.token],
  [200, 1, 'GET', '/accounts/people/?search=per', ada.token],
  [200, 1, 'GET', `/accounts/people/?id=${bob.id}`, ada.token],
  [400, 3, 'POST', '/accounts/email-change/verify/', ada.token, { code: '0000-0000-0000-0000' }],
  [404, 1, 'DELETE', `/accounts/sessions/${ada.id}/`, ada.token],
  [204, 1, 'DELETE', '/accounts/sessions/{session}/', ada.token],
  [204, 1, 'POST', '/accounts/logout/', '{token}'],
  [200, 3, 'POST', '/accounts/login/', '', { email: ada.email, password: PASSWORD }],
  [200, 5, 'POST', '/accounts/password-change/', bob.token, { old_password: PASSWORD, new_password: PASSWORD }],
])('a %i takes %i round trips: %s %s', async (status, trips, method, path, sender, ...rest) => {
  for (const isCounted of [false, false, true]) {
    const { token, session } = path.startsWith('/accounts/') ? await logIn() : { token: '', session: '' }
    const target = path.startsWith('{id}') ? path.replace('{id}', await create()) : path.replace('{session}', session)
    const before = proxy.roundTrips()
    expect(await send(method, target, sender.replace('{token}', token), ...rest)).toMatchObject({ status })
    if (isCounted) expect(proxy.roundTrips() - before).toBe(trips)
  }
})

test('the time of the database takes no round trip once it is known', async () => {
  const { createUser, url } = await openDocket({}, { clockKind: 'database' })
  const { token } = await createUser()
  const proxy = await startProxy(url)
  const options = { url: proxy.url, environment: {}, options: { max: 1 } }
  const { services, close } = openServices({ ...options, now: () => new Date(), clockKind: 'database' })
  const headers = { Authorization: `Bearer ${token}` }
  for (const isCounted of [false, false, true]) {
    const before = proxy.roundTrips()
    const response = await app.request('/accounts/', { headers }, { ...services, address: '192.0.2.1' })
    expect(response).toMatchObject({ status: 200 })
    if (isCounted) expect(proxy.roundTrips() - before).toBe(1)
  }
  await close()
  proxy.close()
})
