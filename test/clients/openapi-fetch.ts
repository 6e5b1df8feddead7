import createClient from 'openapi-fetch'
import type { components, paths } from './generated/openapi-typescript.ts'
import { cursorIn, type Stage } from './stage.ts'

type Problem = components['schemas']['Problem']
/** Without streams and charts. */
type Json = `application/${string}json`

/** Returns the data of a response. Throws if it is a problem. */
function unwrap<Data>({ data, error }: { data?: Data; error?: Problem }): Data {
  if (error) throw new Error(error.detail)
  return data as Data
}

export async function tellStory({ baseUrl, email, readCode }: Stage) {
  const guest = createClient<paths, Json>({ baseUrl })
  const password = 'four words of mine'
  unwrap(await guest.POST('/accounts/signup/', { body: { first_name: 'Ada', last_name: 'Lovelace', email, password } }))
  unwrap(await guest.POST('/accounts/activate-account/', { body: { code: await readCode() } }))
  const { token } = unwrap(await guest.POST('/accounts/login/', { body: { email, password } }))

  const docket = createClient<paths, Json>({ baseUrl, headers: { Authorization: `Bearer ${token}` } })
  const { id } = unwrap(await docket.POST('/assignments/', { body: { name: 'Write the report' } }))
  unwrap(await docket.POST('/assignments/', { body: { name: 'Send the report', status: 'in progress' } }))

  const query = { status: ['todo' as const, 'in progress' as const], limit: 1 }
  const first = unwrap(await docket.GET('/assignments/', { params: { query } }))
  const cursor = cursorIn(first.next)
  const second = unwrap(await docket.GET('/assignments/', { params: { query: { ...query, cursor } } }))

  const assignees = first.results.map(({ assignee }) => assignee)
  const people = unwrap(await docket.GET('/accounts/people/', { params: { query: { id: assignees } } }))
  const names = people.results.map(({ first_name, last_name }) => `${first_name} ${last_name}`)

  const now = unwrap(await docket.GET('/assignments/events/'))

  const change = { params: { path: { id }, header: { 'if-match': '"1"' } }, body: { status: 'done' as const } }
  await docket.PATCH('/assignments/{id}/', change)
  const { error, response } = await docket.PATCH('/assignments/{id}/', change)
  if (response.status !== 412 || !error) throw new Error('The assignment was changed twice')
  console.log(error.code, error.detail)

  const report = unwrap(await docket.GET('/assignments/reports/throughput/', { params: { query: { bucket: 'week' } } }))
  const events = unwrap(await docket.GET('/assignments/events/', { params: { query: { cursor: cursorIn(now.next) } } }))

  return {
    names,
    pages: [first, second].map(({ results }) => results.map(({ name }) => name)),
    conflict: [error.status, error.code],
    done: report.results.reduce((sum, { done }) => sum + done, 0),
    event: events.results.map(({ kind, status, version }) => [kind, status, version])[0],
  }
}
