import type postgres from 'postgres'

/** The edition of TimescaleDB in the database, with a description for the person who migrates. */
export type TimescaleSupport = { level: 'community' | 'apache' | 'none'; description: string }

/**
 * Adapts the event log to what the database offers: a hypertable with TimescaleDB, and with its Community edition also the
 * columnstore for old events and a continuous aggregate for reports. It runs at every migration, so that a database that gets
 * the extension or another edition later is adapted. It may run in a transaction; the Community edition also needs
 * `setPolicies` after it.
 */
export async function setUpTimescale(client: postgres.Sql, historyDays?: number): Promise<TimescaleSupport> {
  const version = await enableExtension(client)
  const [edition] = await client`select current_setting('timescaledb.license', true) = 'timescale' as is_community`
  const level = version ? (edition?.is_community ? 'community' : 'apache') : 'none'
  await client.unsafe(`create or replace view assignment_movements as ${MOVEMENTS}`)
  if (level !== 'none') await createHypertable(client)
  if (level === 'community') {
    await createAggregate(client)
    await enableColumnstore(client)
  } else {
    const [exists] = await client`select where to_regclass('assignment_activity') is not null`
    if (!exists) await client.unsafe('create view assignment_activity as select * from assignment_movements')
  }
  return { level, description: `${version ? `TimescaleDB ${version}, ` : ''}${describe(level, historyDays)}` }
}

// In three years with ten million events, a chunk has 300,000 rows and takes some 150 MB with its indexes, which fit in memory.
// A monthly report opens one or two chunks, and three years have few enough for fast planning.
const CHUNK = '30 days'

const COLUMNSTORE_AFTER = '90 days'

function describe(level: TimescaleSupport['level'], historyDays: number | undefined): string {
  const descriptions = {
    community: `Community edition: the event log is a hypertable with chunks of ${CHUNK}, events older than ${COLUMNSTORE_AFTER} move to the columnstore, and reports read a continuous aggregate.`,
    apache: `Apache edition: the event log is a hypertable with chunks of ${CHUNK}, and reports read it directly.`,
    none: 'PostgreSQL without TimescaleDB: the event log is a plain table, and reports read it directly. After the extension is installed, migrate again.',
  }
  if (!historyDays) return descriptions[level]
  return level === 'community'
    ? `${descriptions[level]} Events older than ${historyDays} days are dropped.`
    : `${descriptions[level]} HISTORY_DAYS has no effect without the Community edition: all events are kept.`
}

// The condition for events that set the status to done, and the seconds since the creation and since the first start.
const isDone = `status = 'done' and old_status is distinct from 'done' and kind <> 'deleted'`
const LEAD = 'extract(epoch from at - created_at)::float8'
const CYCLE = 'extract(epoch from at - started_at)::float8'

/** The columns of the log that reports read. */
const MOVEMENTS = `
  select at, creator, assignee, old_assignee, status, old_status, kind, 1::bigint as events,
    case when ${isDone} then array[${LEAD}] end as lead_times,
    case when ${isDone} and started_at is not null then array[${CYCLE}] end as cycle_times
  from assignment_events`

// By quarters of an hour, because the days of every time zone start with one.
const ACTIVITY = `
  select time_bucket('15 minutes', at) as at, creator, assignee, old_assignee, status, old_status, kind, count(*) as events,
    array_agg(${LEAD}) filter (where ${isDone}) as lead_times,
    array_agg(${CYCLE}) filter (where ${isDone} and started_at is not null) as cycle_times
  from assignment_events
  group by 1, 2, 3, 4, 5, 6, 7`

/** Returns the version of TimescaleDB, and creates the extension if the server has loaded it; undefined if that fails. */
async function enableExtension(client: postgres.Sql): Promise<string | undefined> {
  const findVersion = async () =>
    (await client`select extversion as version from pg_extension where extname = 'timescaledb'`)[0]?.version
  const version = await findVersion()
  if (version) return version
  const [isLoaded] = await client`
    select from pg_available_extensions, pg_settings
    where pg_available_extensions.name = 'timescaledb' and pg_settings.name = 'shared_preload_libraries'
      and pg_settings.setting like '%timescaledb%'`
  if (!isLoaded) return undefined
  // A role that may not create extensions uses the log without it. The failure must not end a transaction.
  await client.unsafe(`
    do $$ begin
      create extension if not exists timescaledb;
    exception when others then null;
    end $$`)
  return findVersion()
}

async function createHypertable(client: postgres.Sql) {
  await client`
    select create_hypertable('assignment_events', by_range('at', ${CHUNK}::interval), migrate_data => true,
      if_not_exists => true, create_default_indexes => false)`
}

async function createAggregate(client: postgres.Sql) {
  const [exists] = await client`
    select from timescaledb_information.continuous_aggregates where view_name = 'assignment_activity'`
  if (exists) return
  await client.unsafe('drop view if exists assignment_activity')
  await client.unsafe(`
    create materialized view assignment_activity
    with (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false)
    as ${ACTIVITY} with no data`)
  // With these columns a report reads its counts from the index alone.
  const counts = 'status, old_status, kind, events'
  for (const index of [
    `(creator, at) include (assignee, old_assignee, ${counts})`,
    `(assignee, at) include (creator, old_assignee, ${counts})`,
    `(old_assignee, at) include (creator, assignee, ${counts}) where old_assignee <> assignee`,
  ]) {
    await client.unsafe(`create index on assignment_activity ${index}`)
  }
}

async function enableColumnstore(client: postgres.Sql) {
  const [enabled] = await client`
    select from timescaledb_information.hypertables where hypertable_name = 'assignment_events' and compression_enabled`
  // Sorted by assignment, so that the events of one assignment are in few batches.
  if (!enabled)
    await client`alter table assignment_events
      set (timescaledb.compress, timescaledb.compress_segmentby = '', timescaledb.compress_orderby = 'assignment, at')`
}

/**
 * Defines history_start(): from when on the past can be read, in milliseconds. The days of `historyDays` are whole days in UTC,
 * so that a time that a client was told stays right for a while.
 */
export async function defineHistoryStart(client: postgres.Sql, level: TimescaleSupport['level'], historyDays?: number) {
  // The events before them had been dropped when the columns of old values were added, so their old values are unknown.
  const [row] = await client`
    select coalesce(max(at), '-infinity')::text as incomplete
    from assignment_events where kind <> 'created' and old_updated_at is null`
  const retained =
    level === 'community' && historyDays ? `make_interval(hours => 24 * ${historyDays})` : 'null::interval'
  await client.unsafe(`
    create or replace function history_start() returns timestamptz language plpgsql stable parallel safe as $$
    begin
      return date_trunc('milliseconds', interval '999 microseconds' + greatest(
        timestamptz '${row?.incomplete}',
        date_trunc('day', now(), 'UTC') - ${retained}${level === 'none' ? '' : DROPPED_UNTIL}
      ));
    end $$`)
}

/** The end of the events that are only in the aggregate: those before the oldest chunk that is left. */
const DROPPED_UNTIL = `,
        (select at + interval '15 minutes' from public.assignment_activity
          where at < (select coalesce(min(range_start), 'infinity') from timescaledb_information.chunks
            where hypertable_schema = 'public' and hypertable_name = 'assignment_events')
          order by at desc limit 1)`

/**
 * Fills the continuous aggregate, and sets the policies of the Community edition. It drops events that are older than
 * `historyDays`. It must not run in a transaction.
 */
export async function setPolicies(client: postgres.Sql, historyDays: number | undefined) {
  // No events may be dropped before they are aggregated below.
  await client`select remove_retention_policy('assignment_events', if_exists => true)`
  const { start, reach } = await findRefreshWindow(client, historyDays)
  // The policy moves the watermark, below which reports read only the aggregate. So all events are aggregated before.
  await client`
    call refresh_continuous_aggregate('assignment_activity', ${start}::timestamptz, now() - interval '1 hour')`
  await client`select remove_continuous_aggregate_policy('assignment_activity', if_exists => true)`
  const [refresh] = await client`
    select add_continuous_aggregate_policy('assignment_activity', start_offset => ${reach}::interval,
      end_offset => interval '1 hour', schedule_interval => interval '30 minutes', if_not_exists => true) as job`
  // The default is many batches, of which the newest is first. The watermark would be above older events until the last batch
  // is done. Versions without this parameter refresh in one batch and ignore it.
  await client`
    select alter_job(job_id, config => config || '{"buckets_per_batch": 0}')
    from timescaledb_information.jobs where job_id = ${refresh?.job}`
  await client`
    select add_compression_policy('assignment_events', ${COLUMNSTORE_AFTER}::interval, if_not_exists => true)`
  if (historyDays) {
    await client`
      select add_retention_policy('assignment_events', make_interval(days => ${historyDays}), if_not_exists => true)`
  }
}

/**
 * Returns from when on the aggregate may be refreshed, as a time and as a distance from now; nulls for everything. Events
 * that were dropped before, with this retention or another, stay outside: a refresh would remove them from the aggregate.
 */
async function findRefreshWindow(client: postgres.Sql, historyDays: number | undefined) {
  const [window] = await client<[{ start: string | null; reach: string | null }]>`
    select start::text, least(now() - start, make_interval(days => ${historyDays ?? null}))::text as reach
    from (
      -- The start of the oldest chunk that is left.
      select least(min(range_start), now() - interval '1 day') as oldest
      from timescaledb_information.chunks where hypertable_name = 'assignment_events'
    ) as chunks,
    lateral (
      -- It limits the refresh only if older events were aggregated and dropped.
      select case when exists (select from assignment_activity where at < oldest) then oldest end as start
    ) as aggregated`
  return window
}
