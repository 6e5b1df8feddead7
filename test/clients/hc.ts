import { hc, parseResponse } from 'hono/client'
import type { app } from '../../src/app.ts'
import { cursorIn, type Stage } from './stage.ts'

export async function tellStory({ baseUrl, email, readCode }: Stage) {
  const { accounts } = hc<typeof app>(baseUrl)
  const password = 'four words of mine'
  await parseResponse(accounts.signup.$post({ json: { first_name: 'Ada', last_name: 'Lovelace', email, password } }))
  await parseResponse(accounts['activate-account'].$post({ json: { code: await readCode() } }))
  const { token } = await parseResponse(accounts.login.$post({ json: { email, password } }))

  const docket = hc<typeof app>(baseUrl, { headers: { Authorization: `Bearer ${token}` } })
  const { assignments } = docket
  const { id } = await parseResponse(assignments.$post({ json: { name: 'Write the report' } }))
  await parseResponse(assignments.$post({ json: { name: 'Send the report', status: 'in progress' } }))

  const query = { status: ['todo', 'in progress'], limit: '1' }
  const first = await parseResponse(assignments.$get({ query }))
  const second = await parseResponse(assignments.$get({ query: { ...query, cursor: cursorIn(first.next) } }))

  const assignees = first.results.map(({ assignee }) => assignee)
  const people = await parseResponse(docket.accounts.people.$get({ query: { id: assignees } }))
  const names = people.results.map(({ first_name, last_name }) => `${first_name} ${last_name}`)

  const now = await parseResponse(assignments.events.$get({ query: {}, header: {} }))

  const change = { param: { id }, header: { 'if-match': '"1"' }, json: { status: 'done' as const } }
  await parseResponse(assignments[':id'].$patch(change))
  const response = await assignments[':id'].$patch(change)
  if (response.status !== 412) throw new Error('The assignment was changed twice')
  const problem = await response.json()
  console.log(problem.code, problem.detail)

  const report = await parseResponse(assignments.reports.throughput.$get({ query: { bucket: 'week' } }))
  const events = await parseResponse(assignments.events.$get({ query: { cursor: cursorIn(now.next) }, header: {} }))

  return {
    names,
    pages: [first, second].map(({ results }) => results.map(({ name }) => name)),
    conflict: [problem.status, problem.code],
    done: report.results.reduce((sum, { done }) => sum + done, 0),
    event: events.results.map(({ kind, status, version }) => [kind, status, version])[0],
  }
}
