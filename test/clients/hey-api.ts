import { client } from './generated/hey-api/client.gen'
import {
  activateAccount,
  changeAssignment,
  createAssignment,
  type Event,
  followAssignments,
  listAssignments,
  listPeople,
  logIn,
  reportThroughput,
  signUp,
} from './generated/hey-api/index'
import { cursorIn, type Stage } from './stage.ts'

const throwOnError = true

export async function tellStory({ baseUrl, email, readCode }: Stage) {
  client.setConfig({ baseUrl })
  const password = 'four words of mine'
  await signUp({ throwOnError, body: { first_name: 'Ada', last_name: 'Lovelace', email, password } })
  await activateAccount({ throwOnError, body: { code: await readCode() } })
  const { data: login } = await logIn({ throwOnError, body: { email, password } })

  client.setConfig({ baseUrl, auth: login.token })
  const { data: created } = await createAssignment({ throwOnError, body: { name: 'Write the report' } })
  await createAssignment({ throwOnError, body: { name: 'Send the report', status: 'in progress' } })

  const query = { status: ['todo' as const, 'in progress' as const], limit: 1 }
  const { data: first } = await listAssignments({ throwOnError, query })
  const { data: second } = await listAssignments({ throwOnError, query: { ...query, cursor: cursorIn(first.next) } })

  const assignees = first.results.map(({ assignee }) => assignee)
  const { data: people } = await listPeople({ throwOnError, query: { id: assignees } })
  const names = people.results.map(({ first_name, last_name }) => `${first_name} ${last_name}`)

  const { data: now } = await followAssignments({ throwOnError })

  const change = { path: { id: created.id }, headers: { 'if-match': '"1"' }, body: { status: 'done' as const } }
  await changeAssignment({ ...change, throwOnError })
  const { error, response } = await changeAssignment(change)
  if (response?.status !== 412 || !error) throw new Error('The assignment was changed twice')
  console.log(error.code, error.detail)

  const { data: report } = await reportThroughput({ throwOnError, query: { bucket: 'week' } })
  const { stream } = await client.sse.get<{ 200: Event }>({
    url: '/assignments/events/',
    headers: { Accept: 'text/event-stream' },
    security: [{ scheme: 'bearer', type: 'http' }],
    query: { cursor: cursorIn(now.next) },
  })
  const { value: event } = await stream.next()
  await stream.return()

  return {
    names,
    pages: [first, second].map(({ results }) => results.map(({ name }) => name)),
    conflict: [error.status, error.code],
    done: report.results.reduce((sum, { done }) => sum + done, 0),
    event: event && [event.kind, event.status, event.version],
  }
}
