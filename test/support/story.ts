import { createSignupBody, type Docket, type Json, PASSWORD } from './fixtures.ts'

const RESET_PASSWORD = `${PASSWORD}, again`

/**
 * Uses every table of the database: sign-up, log-in, parallel changes, lists, events, history, reports and a reset. Returns
 * the statuses and bodies of the responses, with ids, tokens and cursors that are the same for each story.
 */
export async function tellStory(docket: Docket, email = 'ada@bücher.example') {
  const { advance, drain, newestCode, now } = docket
  const story: { request: string; status: number; body: Json }[] = []
  const send = async (method: string, path: string, options: Parameters<Docket['call']>[2] = {}) => {
    const { status, body } = await docket.call(method, path, options)
    story.push({ request: `${method} ${path}`, status, body })
    return body
  }
  advance(3600)
  const from = now().toISOString()
  const signUp = async (email: string) => {
    await send('POST', '/accounts/signup/', { body: createSignupBody(email) })
    await send('POST', '/accounts/activate-account/', { body: { code: await newestCode() } })
    return (await send('POST', '/accounts/login/', { body: { email, password: PASSWORD } })).token
  }
  const token = await signUp(email)
  const assigneeToken = await signUp(`assignee.${email}`)
  await send('POST', '/accounts/login/', { body: { email, password: 'wrong' } })
  await send('GET', '/accounts/sessions/', { token })
  const name = String.raw`Straße \' 100% "Ω" 😀`
  const { id } = await send('POST', '/assignments/', { token, body: { name, assignee: `assignee.${email}` } })
  const path = `/assignments/${id}/`
  advance(90)
  // The assignee may change the status alone, which a boolean parameter of the statement tells.
  await send('PATCH', path, { token: assigneeToken, body: { status: 'in progress' }, headers: { 'If-Match': '"1"' } })
  await send('PATCH', path, { token: assigneeToken, body: { name: 'forbidden' } })
  const changes = Array.from({ length: 6 }, (_, n) =>
    docket.call('PATCH', path, { token, body: n % 2 ? { name: `${name} ${n}` } : { description: `${n}` } }),
  )
  const statuses = (await Promise.all(changes)).map(({ status }) => status)
  story.push({ request: 'parallel changes', status: 0, body: { statuses } })
  advance(100.123)
  await send('PATCH', path, { token, body: { status: 'done', name, description: 'é' } })
  advance(1)
  const query = `status=done,todo&search=${encodeURIComponent(String.raw`\' 100%`)}&ordering=name,-status&count=true`
  await send('GET', `/assignments/?${query}`, { token })
  await send('GET', `/assignments/?search=stra%C3%9Fe&as_of=${now().toISOString()}`, { token })
  await send('GET', `${path}?as_of=${from}`, { token })
  const { next, results } = await send('GET', '/assignments/events/?limit=1&cursor=start', { token })
  story.push({ request: 'first event', status: 0, body: results[0] })
  const rest = await docket.call('GET', next, { token })
  story.push({ request: 'events', status: rest.status, body: { versions: rest.body.results.map(versionOf) } })
  const history = await docket.call('GET', `${path}history/`, { token })
  story.push({ request: 'history', status: history.status, body: { versions: history.body.results.map(versionOf) } })
  await send('GET', `/assignments/reports/throughput/?from=${from}&timezone=Asia/Kathmandu`, { token })
  await send('GET', `/assignments/reports/flow/?from=${from}`, { token })
  await send('DELETE', path, { token, headers: { 'If-Match': '"2"' } })
  await send('DELETE', path, { token })
  await send('POST', '/accounts/password-reset/', { body: { email } })
  const code = await newestCode()
  await send('POST', '/accounts/password-reset/verify/', { body: { code, new_password: RESET_PASSWORD } })
  await send('POST', '/accounts/password-reset/verify/', { body: { code, new_password: RESET_PASSWORD } })
  await send('POST', '/accounts/login/', { body: { email, password: RESET_PASSWORD } })
  await drain()
  await docket.purge()
  return comparable(story)
}

const versionOf = ({ version }: Json) => version as number

/** Replaces what is random by a number of its first occurrence. */
function comparable(story: object[]): { request: string; status: number; body: Json }[] {
  const names = new Map<string, string>()
  const random = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|dkt_[\w-]{43}/g
  const text = JSON.stringify(story, (key, value) => (/^(next|previous|request_id)$/.test(key) ? typeof value : value))
  return JSON.parse(
    text.replace(random, (match) => {
      if (!names.has(match)) names.set(match, `random ${names.size}`)
      return names.get(match) as string
    }),
  )
}
