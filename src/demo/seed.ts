import { inArray, sql } from 'drizzle-orm'
import { hashPassword, type Kdf } from '../accounts/passwords.ts'
import { createSession, type Unauthenticated } from '../accounts/sessions.ts'
import {
  type Assignment,
  changeAssignment,
  createAssignment,
  deleteAssignment,
  type Fields,
  type Refusal,
  type Writer,
} from '../assignments/assignments.ts'
import { newId, sha256 } from '../crypto.ts'
import { connect, type Database } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'
import { onNode } from '../database/tls.ts'
import { firstInstant, toLocal } from '../reports/local-time.ts'
import { holidays, members, PASSWORD, places, remarks, TIMEZONE, work } from './team.ts'

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000]

/** How many assignments a person works on at a time. */
const CAPACITY = 10

/**
 * Fills an empty database, in one transaction, with a year of a small team's work that ends at the last midnight in UTC. Apart
 * from the ids it is the same for the same day. A database that has the demo stays unchanged; one that has other accounts is
 * refused.
 */
export async function fillDemo(url: string, kdf: Kdf, now: Date): Promise<'filled' | 'unchanged' | 'refused'> {
  // All statements are in one transaction because there is only one connection.
  const { db, close } = connect(url, { max: 1, ...onNode })
  try {
    await db.execute(sql`begin`)
    // Nobody can create another account before the transaction ends.
    await db.execute(sql`lock table ${users} in share row exclusive mode`)
    const emails = members.map(({ email }) => email)
    const [all, ours] = [await db.$count(users), await db.$count(users, inArray(users.email, emails))]
    if (all > 0) return all === ours && ours === members.length ? 'unchanged' : 'refused'
    const end = Math.floor(now.getTime() / DAY) * DAY
    const start = yearBefore(end)
    const people = await createAccounts(db, await hashPassword(kdf, PASSWORD), start)
    await simulate({ db, random: createRandom(), people, tasks: [], start: start.getTime() }, end)
    await db.delete(sessions)
    await db.execute(sql`commit`)
    return 'filled'
  } finally {
    await close()
  }
}

/** Returns the lines of the greeting that say how to log in and where the chart of the year is. */
export function demoGreeting(origin: string, now: Date): string {
  const from = yearBefore(now.getTime()).toISOString().slice(0, 10)
  return `\
  Log in as      ${members[0].email}, password: ${PASSWORD}
  See the year   ${origin}/assignments/reports/flow/?bucket=week&from=${from}&timezone=${TIMEZONE}&format=svg
                 (with the token from the login)
`
}

function yearBefore(end: number): Date {
  const date = new Date(end)
  date.setUTCFullYear(date.getUTCFullYear() - 1)
  return date
}

type Person = (typeof members)[number] & { id: string; token_hash: Uint8Array }

/** Creates the accounts, each with a session that lasts longer than the year. */
async function createAccounts(db: Database, password: string, now: Date): Promise<Person[]> {
  const at = now.toISOString()
  const people: Person[] = []
  for (const member of members) {
    const { email, first_name, last_name } = member
    const id = newId(now)
    await db.insert(users).values({ id, email, first_name, last_name, password, created_at: at, updated_at: at })
    const { token } = await createSession(db, { user_id: id, password_version: 1, user_agent: null, days: 400 }, now)
    people.push({ ...member, id, token_hash: sha256(token) })
  }
  return people
}

/** An assignment with the time, in milliseconds, at which its assignee will finish it or start it again. */
type Task = Assignment & { dueAt: number }

type Team = { db: Database; random: ReturnType<typeof createRandom>; people: Person[]; tasks: Task[]; start: number }

/** A moment at which a person does one thing. */
type Moment = { person: Person; at: number; isPlanning: boolean }

async function simulate(team: Team, end: number) {
  const firstDay = Math.floor(toLocal(team.start, TIMEZONE) / DAY)
  for (let day = firstDay; ; day++) {
    const midnight = firstInstant(day * DAY, TIMEZONE)
    if (midnight >= end) return
    const moments = momentsOf(team, new Date(day * DAY), midnight).filter(({ at }) => at > team.start && at < end)
    for (const moment of moments.sort((a, b) => a.at - b.at)) await act(team, moment)
  }
}

/** Returns the moments of a day, which is midnight UTC of its date, unsorted. Every other Monday the first member plans the next two weeks. */
function momentsOf({ random, people, start }: Team, day: Date, midnight: number): Moment[] {
  const { chance, between, pick } = random
  const date = day.toISOString().slice(5, 10)
  const includesDate = (days: string) => days.slice(0, 5) <= date && date <= days.slice(-5)
  const isDayOff = day.getUTCDay() % 6 === 0 || holidays.some(includesDate)
  const isPlanningDay = day.getUTCDay() === 1 && Math.floor((midnight - start) / (7 * DAY)) % 2 === 0
  return people.flatMap((person, index) => {
    const moments = (count: number, hour: () => number, isPlanning = false) =>
      Array.from({ length: count }, () => ({ person, at: midnight + hour() * HOUR, isPlanning }))
    if (isDayOff || includesDate(person.leave)) return moments(chance(0.05) ? 1 : 0, () => between(9, 22))
    const planned = index === 0 && isPlanningDay ? between(8, 14) * season(midnight - start) : 0
    return [
      ...moments(between(3, 8), () => pick([between(8.4, 12.4), between(13, 17.5)])),
      ...moments(planned, () => between(9, 10.5), true),
    ]
  })
}

/** The demand for work at a time of the year: 1 on average, in waves of 16 weeks. */
const season = (elapsed: number) => 1 + 0.8 * Math.sin((2 * Math.PI * elapsed) / (16 * 7 * DAY))

/** Creates an assignment, revises one that the person created, finishes one that is due, or starts one. */
async function act(team: Team, moment: Moment): Promise<void> {
  const { person, at, isPlanning } = moment
  const { chance, pick, effort } = team.random
  const assigned = team.tasks.filter(({ assignee }) => assignee === person.id)
  const todo = assigned.filter(({ status }) => status === 'todo')
  const started = assigned.filter(({ status }) => status === 'in progress')
  const demand = 0.2 * person.demand * season(at - team.start) * (todo.length > 25 ? 0.5 : 1)
  if (isPlanning || chance(demand)) return create(team, moment)
  if (chance(0.09)) return revise(team, moment)
  const due = assigned.find(({ dueAt }) => dueAt <= at)
  if (due?.status === 'error') return change(team, moment, due, { status: 'in progress' }, at + effort() / 2)
  if (due && chance(0.15)) return change(team, moment, due, { status: 'error' }, at + 2.5 * effort())
  if (due) return change(team, moment, due, { status: 'done' })
  if (todo.length === 0 || started.length >= CAPACITY + todo.length / 12) return
  const next = chance(0.35) ? (todo.at(-1) as Task) : pick(todo.slice(0, 6))
  return change(team, moment, next, { status: 'in progress' }, at + effort())
}

async function create(team: Team, moment: Moment): Promise<void> {
  const { chance, pick } = team.random
  const { verbs, objects, reasons } = pick(work)
  const name = `${pick(verbs)} ${pick(objects)} the ${pick(places)}`
  if (team.tasks.some((task) => task.name === name)) return create(team, moment)
  const description = chance(0.1) ? '' : `${pick(reasons)} ${chance(0.6) ? pick(remarks) : ''}`.trim()
  const assignee = chance(0.4) ? moment.person.id : pick(team.people).id
  const created = unwrap(await createAssignment(team.db, writerOf(moment), { name, description, assignee }))
  team.tasks.push({ ...created, dueAt: Infinity })
}

/** Deletes a stale assignment that the person created, reopens one that was done, or reassigns an open one. */
async function revise(team: Team, moment: Moment): Promise<void> {
  const { chance, pick } = team.random
  const daysAgo = (days: number) => new Date(moment.at - days * DAY).toISOString()
  const own = team.tasks.filter(({ creator }) => creator === moment.person.id)
  const open = own.filter(({ status }) => status !== 'done')
  const stale = open.filter(({ status, updated_at }) => status !== 'in progress' && updated_at < daysAgo(30))
  const justDone = own.filter(({ status, updated_at }) => status === 'done' && updated_at > daysAgo(10))
  if (stale.length > 0 && chance(0.3)) {
    const task = pick(stale)
    unwrap(await deleteAssignment(team.db, writerOf(moment), task.id))
    team.tasks.splice(team.tasks.indexOf(task), 1)
  } else if (justDone.length > 0 && chance(0.3)) {
    await change(team, moment, pick(justDone), { status: 'todo' })
  } else if (open.length > 0) {
    const task = pick(open)
    const others = team.people.filter(({ id }) => id !== task.assignee)
    await change(team, moment, task, { assignee: pick(others).id }, task.dueAt)
  }
}

async function change({ db }: Team, moment: Moment, task: Task, fields: Fields, dueAt = Infinity): Promise<void> {
  const changed = unwrap(await changeAssignment(db, writerOf(moment), task.id, fields))
  Object.assign(task, changed, { dueAt })
}

const writerOf = ({ person, at }: Moment): Writer => ({
  token_hash: person.token_hash,
  now: new Date(at).toISOString(),
  is_limited: false,
})

function unwrap(result: Assignment | Refusal | Unauthenticated): Assignment {
  if ('outcome' in result) throw new Error(`The demo made an invalid change: ${result.outcome}`)
  return result
}

/** Returns functions that draw the same random values at every run, from the generator mulberry32. */
function createRandom() {
  let state = 7
  const random = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const chance = (probability: number) => random() < probability
  const between = (from: number, to: number) => from + random() * (to - from)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
  /** Returns how long an assignment takes: minutes for a fifth of them, days for most, weeks for some. */
  const effort = () =>
    chance(0.2) ? between(15, 120) * MINUTE : 6 * DAY * Math.exp(between(-1.6, 1.6) + between(-1.4, 1.4))
  return { chance, between, pick, effort }
}
