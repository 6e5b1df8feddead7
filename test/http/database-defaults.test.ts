import postgres from 'postgres'
import { afterAll, expect, inject, test } from 'vitest'
import { migrate } from '../../src/database/migrate.ts'
import { onNode } from '../../src/database/tls.ts'
import { openDocket } from '../support/fixtures.ts'
import { tellStory } from '../support/story.ts'

const isWorkers = inject('runtime') === 'workers'

const formats = `datestyle = 'SQL, DMY'; intervalstyle = 'sql_standard'; timezone = 'Asia/Kabul'; bytea_output = 'escape';
  client_encoding = 'LATIN1'; xmloption = 'document'; quote_all_identifiers = on; extra_float_digits = 0`
const syntax = `standard_conforming_strings = off; backslash_quote = off; escape_string_warning = off; array_nulls = off;
  transform_null_equals = on; check_function_bodies = off; default_text_search_config = 'simple'; row_security = off`
const plans = `enable_seqscan = off; enable_indexscan = off; enable_nestloop = off; enable_hashjoin = off; enable_sort = off;
  enable_material = off; join_collapse_limit = 1; from_collapse_limit = 1; geqo_threshold = 2; work_mem = '64kB';
  jit = on; jit_above_cost = 0; jit_inline_above_cost = 0; jit_optimize_above_cost = 0`
const logs = `log_statement = 'all'; client_min_messages = 'debug5'; lc_messages = 'C'; synchronous_commit = off;
  default_tablespace = 'missing'; temp_tablespaces = 'missing'; session_replication_role = 'replica'; track_activities = off`

// Settings of a database or a role, and whether they work where a connection cannot set others: on Workers and behind poolers.
const groups: [name: string, settings: string, worksAnywhere?: false][] = [
  ['formats', formats],
  ['syntax', syntax],
  ['plans', plans],
  ['custom plans', `plan_cache_mode = 'force_custom_plan'; enable_bitmapscan = off; enable_indexonlyscan = off`],
  ['generic plans', `plan_cache_mode = 'force_generic_plan'; debug_parallel_query = on; parallel_setup_cost = 0`],
  ['logs, disks and triggers', logs],
  ['serializable transactions', `default_transaction_isolation = 'serializable'; default_transaction_deferrable = on`],
  ['repeatable reads', `default_transaction_isolation = 'repeatable read'`],
  ['a short lock timeout', 'lock_timeout = 1'],
  ['short limits', 'idle_in_transaction_session_timeout = 1; idle_session_timeout = 1; statement_timeout = 1', false],
  ['another search path', `search_path = 'nowhere'`, false],
  ['no search path', `search_path = ''`, false],
  ['rounded numbers', 'extra_float_digits = -15', false],
]

const admin = postgres(inject('template').replace(/[^/]*$/, 'postgres'), { max: 1, onnotice: () => {} })
let databaseCount = 0

/** Creates a database, and a role that owns it, with defaults for one of them. */
async function createDatabase(owner: 'database' | 'role', settings: string) {
  const name = `${new URL(inject('template')).pathname.slice(1)}_defaults_${databaseCount++}`
  const role = `${name}_owner`
  await admin.unsafe(`create role ${role} login superuser password 'x'`)
  await admin.unsafe(`create database ${name} owner ${role}`)
  for (const setting of settings.split(';')) {
    await admin.unsafe(`alter ${owner === 'database' ? `database ${name}` : `role ${role}`} set ${setting}`)
  }
  const url = new URL(inject('template'))
  Object.assign(url, { pathname: `/${name}`, username: role, password: 'x' })
  const drop = async () => {
    await admin.unsafe(`drop database ${name} with (force)`)
    await admin.unsafe(`drop role ${role}`)
  }
  return { url: url.href, drop }
}

const drops: (() => Promise<unknown>)[] = []
afterAll(async () => {
  // Registered first, so it runs after the APIs are closed.
  for (const drop of drops) await drop()
  await admin.end()
})

const expected = await tellStory(await openDocket({}, { max: 2 }))

const everywhere = groups.filter(([, , worksAnywhere = true]) => worksAnywhere).map(([, settings]) => settings)
const cases = isWorkers
  ? [['all that work there', 'database', everywhere.join(';'), {}] as const]
  : groups.flatMap(([name, settings, worksAnywhere = true]) => [
      ...(worksAnywhere ? [[name, 'database', settings, {}] as const] : []),
      [name, 'role', settings, onNode] as const,
    ])

test.each(cases)('%s as defaults of the %s change no response', async (_, owner, settings, options) => {
  const { url, drop } = await createDatabase(owner, settings)
  drops.push(drop)
  await migrate(url)
  const docket = await openDocket({}, { database: url, max: 2, ...options })
  expect(await tellStory(docket)).toEqual(expected)
})
