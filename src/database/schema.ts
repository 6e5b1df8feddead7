import { type AnyColumn, sql } from 'drizzle-orm'
import {
  bigint,
  customType,
  doublePrecision,
  index,
  integer,
  pgEnum,
  pgTable,
  pgView,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { addressKey, nameOrder } from './text.ts'

// The connection returns times as RFC 3339 texts with milliseconds; Drizzle's own `timestamp` would return a Date.
const instant = customType<{ data: string }>({ dataType: () => 'timestamp (3) with time zone' })

const instants = customType<{ data: string[] }>({ dataType: () => 'timestamp (3) with time zone[]' })

const bytes = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })

/** Accounts. Their addresses have been verified. */
export const users = pgTable(
  'users',
  {
    id: uuid().primaryKey(),
    email: text().notNull(),
    first_name: text().notNull(),
    last_name: text().notNull(),
    password: text().notNull(),
    /** Increases with each change of the password or of the address. A session counts only for the one it was created with. */
    password_version: integer().notNull().default(1),
    created_at: instant().notNull(),
    updated_at: instant().notNull(),
    /** Set while the assignments of a deleted account are removed. The row has no personal data then, and is deleted last. */
    deleted_at: instant(),
  },
  (table) => [
    uniqueIndex('users_email_key').on(addressKey(table.email)),
    index().on(table.deleted_at).where(sql`${table.deleted_at} is not null`),
  ],
)

/** Sign-ups that wait for their code. Each holds everything that its account needs; an address may have several. */
export const signups = pgTable(
  'signups',
  {
    id: uuid().primaryKey(),
    code_hash: bytes().notNull().unique(),
    email: text().notNull(),
    first_name: text().notNull(),
    last_name: text().notNull(),
    password: text().notNull(),
    expires_at: instant().notNull(),
  },
  (table) => [index('signups_email_idx').on(addressKey(table.email)), index().on(table.expires_at)],
)

/** The reset code of an account; there is at most one. */
export const password_resets = pgTable(
  'password_resets',
  {
    user_id: uuid()
      .primaryKey()
      .references(() => users.id, { onDelete: 'cascade' }),
    code_hash: bytes().notNull().unique(),
    expires_at: instant().notNull(),
  },
  (table) => [index().on(table.expires_at)],
)

/** The new address of an account that waits for its code; there is at most one. */
export const email_changes = pgTable(
  'email_changes',
  {
    user_id: uuid()
      .primaryKey()
      .references(() => users.id, { onDelete: 'cascade' }),
    email: text().notNull(),
    code_hash: bytes().notNull().unique(),
    /** A change counts only for the password that the account had when it was requested. */
    password_version: integer().notNull(),
    expires_at: instant().notNull(),
  },
  (table) => [index('email_changes_email_idx').on(addressKey(table.email)), index().on(table.expires_at)],
)

export const sessions = pgTable(
  'sessions',
  {
    id: uuid().primaryKey(),
    user_id: uuid()
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    token_hash: bytes().notNull().unique(),
    password_version: integer().notNull(),
    user_agent: text(),
    created_at: instant().notNull(),
    expires_at: instant().notNull(),
  },
  (table) => [index().on(table.user_id), index().on(table.expires_at)],
)

/** The latest attempts of one subject under one limit. `key` has a hash or a user id, so no IP or e-mail address is stored here. */
export const rate_limits = pgTable(
  'rate_limits',
  { key: text().primaryKey(), attempts: instants().notNull(), expires_at: instant().notNull() },
  (table) => [index().on(table.expires_at)],
)

/** Common passwords in lower case. Each migration adds the list; operators may add more. */
export const common_passwords = pgTable('common_passwords', { password: text().primaryKey() })

export const statuses = ['todo', 'in progress', 'done', 'error'] as const
export const assignment_status = pgEnum('assignment_status', statuses)

const isShared = (table: { creator: AnyColumn; assignee: AnyColumn }) => sql`${table.creator} <> ${table.assignee}`

/** The assignments as they are now. `created_at` is the time in the id, so ids sort by creation. */
export const assignments = pgTable(
  'assignments',
  {
    id: uuid().primaryKey(),
    name: text().notNull(),
    description: text().notNull(),
    status: assignment_status().notNull(),
    assignee: uuid()
      .notNull()
      .references(() => users.id),
    creator: uuid()
      .notNull()
      .references(() => users.id),
    created_at: instant().notNull(),
    updated_at: instant().notNull(),
    version: integer().notNull(),
    /** When it was first in progress. Its events copy this for reports. */
    started_at: instant(),
  },
  // The assignee and the creator each have an index for every order of a list. Ascending indexes serve both directions. The
  // migration adds the assignee to two of the creator's, so that a count reads only indexes.
  (table) => [
    ...[table.assignee, table.creator].flatMap((person) => [
      index().on(person, table.id),
      index().on(person, table.updated_at, table.id),
      index().on(person, table.status, table.id),
      index(`assignments_${person.name}_name_id_index`).on(person, nameOrder(table.name), table.id),
    ]),
    // For the people who share assignments with somebody, who are found one by one.
    index().on(table.creator, table.assignee).where(isShared(table)),
    index().on(table.assignee, table.creator).where(isShared(table)),
  ],
)

/**
 * The text of each assignment for searches, and the users who can see it. It is a table of its own because an update writes
 * to every index of its table, and trigrams cost more than all other indexes. A change of status does not touch it.
 */
export const assignment_search = pgTable(
  'assignment_search',
  { assignment: uuid().primaryKey(), people: uuid().array().notNull(), text: text().notNull() },
  // Every search scans the pending list of the index. This limit, in KB, keeps the list short.
  (table) => [
    index('assignment_search_index')
      .using('gin', table.people, sql`${table.text} gin_trgm_ops`)
      .with({ gin_pending_list_limit: 256 }),
  ],
)

export const event_kinds = ['created', 'changed', 'deleted'] as const
export const assignment_event_kind = pgEnum('assignment_event_kind', event_kinds)

/**
 * The append-only log: each change, with the assignment after it. An event also has the times of creation and start, so that
 * a report needs no other event, and the old values, so that the past can be read after older events were dropped.
 */
export const assignment_events = pgTable(
  'assignment_events',
  {
    id: uuid().notNull(),
    at: instant().notNull(),
    kind: assignment_event_kind().notNull(),
    actor: uuid().notNull(),
    assignment: uuid().notNull(),
    name: text().notNull(),
    description: text().notNull(),
    status: assignment_status().notNull(),
    assignee: uuid().notNull(),
    creator: uuid().notNull(),
    version: integer().notNull(),
    changed: text().array().notNull(),
    created_at: instant().notNull(),
    started_at: instant(),
    old_status: assignment_status(),
    old_assignee: uuid(),
    /** Only if the name changed. */
    old_name: text(),
    /** Only if the description changed. */
    old_description: text(),
    /** The time of the change before; null for a creation. */
    old_updated_at: instant(),
    /** The position of the transaction that wrote it. Readers resume from here. Events older than this column have 0. */
    position: bigint({ mode: 'bigint' }).notNull().default(sql`log_position(pg_current_xact_id())`),
  },
  // Every key of a hypertable must contain the time. The migration adds the columns that reports read to these indexes,
  // which Drizzle cannot express.
  (table) => [
    primaryKey({ columns: [table.assignment, table.at] }),
    index().on(table.assignee, table.at),
    index().on(table.creator, table.at),
    index().on(table.old_assignee, table.at).where(sql`${table.old_assignee} <> ${table.assignee}`),
    index().on(table.position, table.at),
  ],
)

const reportColumns = {
  at: instant().notNull(),
  creator: uuid().notNull(),
  assignee: uuid().notNull(),
  old_assignee: uuid(),
  status: assignment_status().notNull(),
  old_status: assignment_status(),
  kind: assignment_event_kind().notNull(),
  events: bigint({ mode: 'number' }).notNull(),
  lead_times: doublePrecision().array(),
  cycle_times: doublePrecision().array(),
}

/** The columns of events that reports read. `src/database/timescale.ts` creates this view and the next. */
export const assignment_movements = pgView('assignment_movements', reportColumns).existing()

/** The same, in quarters of an hour where the database can aggregate continuously. */
export const assignment_activity = pgView('assignment_activity', reportColumns).existing()
