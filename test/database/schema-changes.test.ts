import postgres from 'postgres'
import { afterAll, expect, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { onNode } from '../../src/database/tls.ts'
import { openDocket } from '../support/fixtures.ts'
import { eventIn, openStreams } from '../support/follow.ts'
import { tellStory } from '../support/story.ts'

// One connection, so the first story prepares every statement on it.
const docket = await openDocket({}, { ...onNode, max: 1 })
const admin = postgres(docket.url, { max: 1, onnotice: () => {} })
afterAll(() => admin.end())

let storyCount = 0
const summarizeStory = async () => {
  const story = await tellStory(docket, `story${storyCount++}@example.com`)
  return story.map(({ request, status, body }) => [request.split('?')[0], status, body.statuses ?? body.code])
}
const expected = await summarizeStory()

const toEveryTable = (action: string) => `do $$
declare name text;
begin
  for name in select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace loop
    execute format('alter table %I ${action}', name);
  end loop;
end $$`

const replaceEnum = `
  drop view assignment_activity, assignment_movements;
  alter type assignment_status rename to old_status;
  create type assignment_status as enum ('todo', 'in progress', 'done', 'error', 'later');
  alter table assignments alter status type assignment_status using status::text::assignment_status;
  alter table assignment_events alter status type assignment_status using status::text::assignment_status,
    alter old_status type assignment_status using old_status::text::assignment_status;
  drop type old_status`

const retypeHashes = `
  alter table sessions alter token_hash type text using encode(token_hash, 'hex');
  alter table sessions alter token_hash type bytea using decode(token_hash, 'hex')`

test.each([
  ['adds a column to every table', toEveryTable('add column another text')],
  ['removes a column of every table', toEveryTable('drop column another')],
  [
    'changes sessions',
    'alter table sessions alter user_agent type varchar(9999), alter expires_at type timestamptz(6)',
  ],
  ['changes users', 'alter table users alter first_name type varchar(9999), alter password_version type smallint'],
  ['changes sign-ups', 'alter table signups alter email type varchar(9999), alter expires_at type timestamptz(6)'],
  ['changes resets', 'alter table password_resets alter expires_at type timestamptz(6)'],
  ['changes limits', 'alter table rate_limits alter key type varchar(9999), alter attempts type timestamptz(6)[]'],
  ['changes assignments', 'alter table assignments alter name type varchar(9999), alter version type smallint'],
  ['changes assignments back', 'alter table assignments alter name type text, alter version type integer'],
  ['changes the type of hashes back and forth', retypeHashes],
  ['replaces an enum', replaceEnum],
])('a migration that %s fails no request', async (_, change) => {
  await admin.unsafe(change)
  // It creates the views again.
  if (change === replaceEnum) await migrate(docket.url)
  expect(await summarizeStory()).toEqual(expected)
})

test('migrations under load fail no request and lose no event', async () => {
  const docket = await openDocket({}, { ...onNode, max: 4 })
  const admin = postgres(docket.url, { max: 1, onnotice: () => {} })
  const { follow } = await openStreams(docket)
  const ada = await docket.createUser()
  const stream = await follow(ada)
  let isMigrating = true
  const versions: number[] = []
  const change = async () => {
    const { token } = ada
    const { body } = await docket.call('POST', '/assignments/', { token, body: { name: 'x', assignee: ada.id } })
    for (let n = 0; isMigrating; n++) {
      const response = await docket.call('PATCH', `/assignments/${body.id}/`, { token, body: { name: `${n}` } })
      expect(response).toMatchObject({ status: 200, body: { version: n + 2 } })
      expect(await docket.call('GET', '/assignments/', { token })).toMatchObject({ status: 200 })
    }
    versions.push((await docket.call('GET', `/assignments/${body.id}/`, { token })).body.version)
  }
  const clients = Promise.all(Array.from({ length: 4 }, change))
  for (let round = 0; round < 20; round++) {
    const action = round % 2 ? 'drop column another' : 'add column another text'
    for (const table of ['assignments', 'assignment_events', 'sessions', 'users']) {
      await admin.unsafe(`alter table ${table} ${action}`)
    }
  }
  isMigrating = false
  await clients
  const total = versions.reduce((sum, version) => sum + version, 0)
  for (let n = 0; n < total; n++) expect(eventIn((await stream.nextEvent()) ?? {}).actor).toBe(ada.id)
  await stream.cancel()
  await admin.end()
})
