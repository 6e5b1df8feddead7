import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import { eq, sql } from 'drizzle-orm'
import { activateNewest } from '../accounts/signups.ts'
import { findUser } from '../accounts/users.ts'
import { deleteAccount } from '../assignments/account-deletion.ts'
import { ClockOffset, openClock } from '../database/clock.ts'
import { connect, type Database } from '../database/connect.ts'
import { assignments, sessions, users } from '../database/schema.ts'
import { onNode } from '../database/tls.ts'
import { accountDeletedNotice, testMail } from '../mail/templates.ts'
import type { Settings } from '../settings.ts'
import { assertMigrated, openDatabase } from './database.ts'
import { createLog } from './log.ts'
import { nameOfMail, openMailer } from './mail.ts'

/** Why an operator's command has done nothing, as a sentence. */
export class CommandError extends Error {}

const USAGE = `Usage:
  npm run users -- list [--json]         list all accounts
  npm run users -- show ADDRESS          show an account and its sessions
  npm run users -- log-out ADDRESS       end all sessions of an account
  npm run users -- activate ADDRESS      activate the newest sign-up of an address, without its code
  npm run users -- delete ADDRESS [--yes]  delete an account and the assignments that it created`

type Context = { db: Database; now: () => Date; settings: Settings; isConfirmed: boolean }

const commands: Record<string, (context: Context, address: string) => Promise<void>> = {
  show,
  'log-out': logOut,
  activate,
  delete: remove,
}

/** Runs a command of an operator about accounts. Throws a CommandError if it has done nothing. */
export async function manageUsers(settings: Settings, args: string[]) {
  const { name, address, options } = readArguments(args)
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  const isList = name === 'list' && address === undefined
  if (!isList && (!command || address === undefined)) throw new CommandError(USAGE)
  await withDatabase(settings, async (db, now) => {
    if (isList) return list(db, now(), options.json)
    await command?.({ db, now, settings, isConfirmed: options.yes }, (address as string).trim())
  })
}

function readArguments(args: string[]) {
  try {
    const options = { json: { type: 'boolean', default: false }, yes: { type: 'boolean', default: false } } as const
    const { positionals, values } = parseArgs({ args, options, allowPositionals: true })
    const [name = '', address, ...rest] = positionals
    if (rest.length > 0) throw new CommandError(USAGE)
    return { name, address, options: values as { json: boolean; yes: boolean } }
  } catch {
    throw new CommandError(USAGE)
  }
}

/** Runs a task with DATABASE_URL, the embedded PostgreSQL of a running server, or else one that is started for it. */
async function withDatabase(settings: Settings, task: (db: Database, now: () => Date) => Promise<void>) {
  const { url, stop } = await findOrOpen(settings)
  const { db, close } = connect(url, { max: 2, ...onNode })
  try {
    await assertMigrated(db, url)
    const clock = openClock(db, new ClockOffset(createLog('silent')))
    await clock.sync()
    await task(db, clock.now)
  } finally {
    await close()
    await stop()
  }
}

async function findOrOpen(settings: Settings) {
  if (settings.DATABASE_URL) return openDatabase(settings)
  const { findEmbeddedPostgres } = await import('./embedded-postgres.ts')
  const url = await findEmbeddedPostgres(settings.DATA_DIR)
  return url ? { url, stop: async () => {} } : openDatabase(settings)
}

const liveSessions = (now: Date) => sql`
  sessions.user_id = users.id and sessions.password_version = users.password_version
  and sessions.expires_at > ${now.toISOString()}`

async function list(db: Database, now: Date, isJson: boolean) {
  const accounts = await db
    .select({
      id: users.id,
      email: users.email,
      first_name: users.first_name,
      last_name: users.last_name,
      created_at: users.created_at,
      sessions: sql<number>`(select count(*)::int from sessions where ${liveSessions(now)})`,
    })
    .from(users)
    .where(sql`deleted_at is null`)
    .orderBy(users.id)
  if (isJson) return console.log(JSON.stringify(accounts, null, 2))
  for (const { email, first_name, last_name, created_at, sessions } of accounts) {
    const name = printable(`${first_name} ${last_name}`.trim())
    console.log([printable(email), name, `since ${created_at.slice(0, 10)}`, count(sessions, 'session')].join('  '))
  }
  console.log(count(accounts.length, 'account'))
}

async function show({ db, now }: Context, address: string) {
  const account = await find(db, address)
  const live = await db
    .select({ created_at: sessions.created_at, expires_at: sessions.expires_at, user_agent: sessions.user_agent })
    .from(sessions)
    .innerJoin(users, eq(users.id, sessions.user_id))
    .where(sql`users.id = ${account.id} and ${liveSessions(now())}`)
    .orderBy(sessions.id)
  const [created, assigned] = await Promise.all([
    db.$count(assignments, eq(assignments.creator, account.id)),
    db.$count(assignments, eq(assignments.assignee, account.id)),
  ])
  const lines = [
    ['id', account.id],
    ['address', account.email],
    ['name', `${account.first_name} ${account.last_name}`.trim()],
    ['created', account.created_at],
    ['changed', account.updated_at],
    ['assignments', `${created} created, ${assigned} assigned`],
    ['sessions', String(live.length)],
    ...live.map(({ created_at, expires_at, user_agent }) => [
      '',
      `since ${created_at} until ${expires_at}, ${user_agent ?? 'without user agent'}`,
    ]),
  ]
  for (const [name = '', value = ''] of lines) console.log(`${name.padEnd(13)}${printable(value)}`)
}

async function logOut({ db, now }: Context, address: string) {
  const account = await find(db, address)
  const ended = await db.delete(sessions).where(eq(sessions.user_id, account.id)).returning()
  if (ended.length === 0) throw new CommandError(`${printable(address)} has no session.`)
  report('log-out', now(), account.id, `${count(ended.length, 'session')} of ${printable(account.email)} ended.`)
}

async function activate({ db, now }: Context, address: string) {
  if (!(await activateNewest(db, address, now()))) {
    const reason = (await findUser(db, address)) ? 'has an account already' : 'has no sign-up that waits for its code'
    throw new CommandError(`${printable(address)} ${reason}.`)
  }
  const account = await find(db, address)
  report('activate', now(), account.id, `The account of ${printable(account.email)} is active.`)
}

async function remove({ db, now, settings, isConfirmed }: Context, address: string) {
  const account = await find(db, address)
  if (!isConfirmed) await confirm(account.email)
  if (!(await deleteAccount(db, account.id, now))) throw noAccount(address)
  report('delete', now(), account.id, `The account of ${printable(account.email)} is deleted.`)
  const sendMail = await openMailer(settings)
  await sendMail(accountDeletedNotice(account.email, { at: now(), service: settings.SERVICE_NAME })).catch((error) => {
    console.error(`The owner could not be told. ${error.message}`)
  })
}

/** Asks the operator to type the address. */
async function confirm(email: string) {
  if (!process.stdin.isTTY) throw new CommandError('Nothing was deleted. Without a terminal, confirm with --yes.')
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const typed = await terminal.question(
    `This deletes the account and everything it has created, and cannot be undone.
Type ${printable(email)} to confirm: `,
  )
  terminal.close()
  if (typed.trim() !== email) throw new CommandError('Nothing was deleted: that is another address.')
}

async function find(db: Database, address: string) {
  const account = await findUser(db, address)
  if (!account) throw noAccount(address)
  return account
}

const noAccount = (address: string) => new CommandError(`${printable(address)} has no account.`)

/** Tells the operator what was done, and the log who it was done to. */
function report(command: string, now: Date, user: string, sentence: string) {
  console.log(sentence)
  console.error(JSON.stringify({ level: 'info', time: now.toISOString(), msg: `users ${command}`, user }))
}

/** Returns a text without characters that could move the cursor of a terminal or hide something. */
const printable = (text: string) =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)

const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`

/** Sends a mail to an address, to see whether the settings are right. Throws a CommandError if it was not accepted. */
export async function sendTestMail(settings: Settings, [address, ...rest]: string[]) {
  if (!address?.includes('@') || rest.length > 0) throw new CommandError('Usage: npm run mail:test -- ADDRESS')
  const sendMail = await openMailer(settings)
  await sendMail(testMail(address, { at: new Date(), service: settings.SERVICE_NAME })).catch((error) => {
    throw new CommandError(`The mail was not sent. ${error.message}`)
  })
  console.log(`A mail to ${printable(address)} was ${nameOfMail(settings)}.`)
}
