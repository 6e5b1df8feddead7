import type postgres from 'postgres'

/** How the log is kept, as a sentence for whoever migrates. */
export type Tier = { name: 'community' | 'apache' | 'plain'; meaning: string }

/**
 * Makes of the log what the database can: with TimescaleDB a hypertable, and with its Community edition columns for what is
 * old and a continuous aggregate for reports. No migration, but a step of every one, so that a database that gets the
 * extension later, or its other edition, is served by the next. `days` is how much of the log the Community edition keeps;
 * undefined keeps all of it.
 */
export async function equipLog(client: postgres.Sql, days?: number): Promise<Tier> {
  const version = await extension(client)
  const license = version && (await client`select current_setting('timescaledb.license', true) as license`)[0]?.license
  await client.unsafe(`create or replace view assignment_movements as ${MOVEMENTS}`)
  if (version) await makeHypertable(client)
  if (license === 'timescale') {
    await makeAggregate(client)
    await makeColumns(client)
    await setPolicies(client, days)
    return {
      name: 'community',
      meaning: `TimescaleDB ${version}, Community edition: the log is a hypertable of ${CHUNK} chunks, in columns from ${OLD} on, and reports read a continuous aggregate of it.${days ? ` What is older than ${days} days is dropped.` : ''}`,
    }
  }
  const [exists] =
    await client`select to_regclass('assignment_activity') as name where to_regclass('assignment_activity') is not null`
  if (!exists) await client.unsafe('create view assignment_activity as select * from assignment_movements')
  const kept = days ? ' HISTORY_DAYS needs the Community edition: the log is kept whole.' : ''
  return version
    ? {
        name: 'apache',
        meaning: `TimescaleDB ${version}, Apache edition: the log is a hypertable of ${CHUNK} chunks, and reports read it as it is.${kept}`,
      }
    : {
        name: 'plain',
        meaning: `PostgreSQL without TimescaleDB: the log is a plain table, and reports read it as it is. With the extension, migrate again.${kept}`,
      }
}

// A month of ten million events in three years is 300,000 rows and some 150 MB with its indexes, which stays in memory; a
// month's report opens one or two chunks, and three years are not so many that planning would notice.
const CHUNK = '30-day'

const OLD = '90 days'

/** Where a status was entered, and how long it then was since the beginning, in seconds. */
const isDone = `status = 'done' and old_status is distinct from 'done' and kind <> 'deleted'`
const LEAD = 'extract(epoch from at - created_at)::float8'
const CYCLE = 'extract(epoch from at - started_at)::float8'

/** What reports need of each event. */
const MOVEMENTS = `
  select at, creator, assignee, old_assignee, status, old_status, kind, 1::bigint as events,
    case when ${isDone} then array[${LEAD}] end as lead_times,
    case when ${isDone} and started_at is not null then array[${CYCLE}] end as cycle_times
  from assignment_events`

// Quarters of an hour, since every time zone's days begin with one.
const ACTIVITY = `
  select time_bucket('15 minutes', at) as at, creator, assignee, old_assignee, status, old_status, kind, count(*) as events,
    array_agg(${LEAD}) filter (where ${isDone}) as lead_times,
    array_agg(${CYCLE}) filter (where ${isDone} and started_at is not null) as cycle_times
  from assignment_events
  group by 1, 2, 3, 4, 5, 6, 7`

/** The version of TimescaleDB, made this database's own where the server is ready for it; undefined without it. */
async function extension(client: postgres.Sql): Promise<string | undefined> {
  const installed = () => client`select extversion as version from pg_extension where extname = 'timescaledb'`
  const [known] = await installed()
  if (known) return known.version
  const [ready] = await client`
    select from pg_available_extensions, pg_settings
    where pg_available_extensions.name = 'timescaledb' and pg_settings.name = 'shared_preload_libraries'
      and pg_settings.setting like '%timescaledb%'`
  if (!ready) return undefined
  // Who may not make an extension does without.
  await client`create extension if not exists timescaledb`.catch(() => undefined)
  return (await installed())[0]?.version
}

async function makeHypertable(client: postgres.Sql) {
  await client`
    select create_hypertable('assignment_events', by_range('at', interval '30 days'), migrate_data => true,
      if_not_exists => true, create_default_indexes => false)`
}

async function makeAggregate(client: postgres.Sql) {
  const [exists] = await client`
    select from timescaledb_information.continuous_aggregates where view_name = 'assignment_activity'`
  if (exists) return
  await client.unsafe('drop view if exists assignment_activity')
  await client.unsafe(`
    create materialized view assignment_activity
    with (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false)
    as ${ACTIVITY} with no data`)
  const told = 'status, old_status, kind, events'
  for (const index of [
    `(creator, at) include (assignee, old_assignee, ${told})`,
    `(assignee, at) include (creator, old_assignee, ${told})`,
    `(old_assignee, at) include (creator, assignee, ${told}) where old_assignee <> assignee`,
  ]) {
    await client.unsafe(`create index on assignment_activity ${index}`)
  }
}

async function makeColumns(client: postgres.Sql) {
  const [enabled] = await client`
    select from timescaledb_information.hypertables where hypertable_name = 'assignment_events' and compression_enabled`
  // In the order of assignments, so that a history is found in few batches.
  if (!enabled)
    await client`alter table assignment_events
      set (timescaledb.compress, timescaledb.compress_segmentby = '', timescaledb.compress_orderby = 'assignment, at')`
}

async function setPolicies(client: postgres.Sql, days: number | undefined) {
  // Nothing is dropped while it is decided what is aggregated.
  await client`select remove_retention_policy('assignment_events', if_exists => true)`
  // What was dropped, under these days or others, is never asked for again: it would vanish from the aggregate too.
  const [kept] = await client`
    select begins::text, least(now() - begins, make_interval(days => ${days ?? null}))::text as reach
    from (select least(min(range_start), now() - interval '1 day') as oldest from timescaledb_information.chunks
      where hypertable_name = 'assignment_events') as chunks,
      lateral (select case when exists (select from assignment_activity where at < oldest) then oldest end as begins) as log`
  // All that was not yet aggregated, before a policy moves the mark below which the log itself is not read.
  await client`
    call refresh_continuous_aggregate('assignment_activity', ${kept?.begins}::timestamptz, now() - interval '1 hour')`
  await client`select remove_continuous_aggregate_policy('assignment_activity', if_exists => true)`
  const [refresh] = await client`
    select add_continuous_aggregate_policy('assignment_activity', start_offset => ${kept?.reach}::interval,
      end_offset => interval '1 hour', schedule_interval => interval '30 minutes') as job`
  // In one step: by itself it takes many, the newest quarter of an hour first, and until it is through the mark stands above
  // what is not yet aggregated. Older versions do as much, and their function has no such parameter.
  await client`
    select alter_job(job_id, config => config || '{"buckets_per_batch": 0}')
    from timescaledb_information.jobs where job_id = ${refresh?.job}`
  await client`select add_compression_policy('assignment_events', ${OLD}::interval, if_not_exists => true)`
  if (days) await client`select add_retention_policy('assignment_events', make_interval(days => ${days}))`
}
