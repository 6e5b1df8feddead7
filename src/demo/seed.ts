import { TZDate } from '@date-fns/tz'
import { inArray, sql } from 'drizzle-orm'
import { hashPassword, type Kdf } from '../accounts/passwords.ts'
import { type Bearer, createSession } from '../accounts/sessions.ts'
import {
  type Assignment,
  changeAssignment,
  createAssignment,
  deleteAssignment,
  type WriteError,
} from '../assignments/assignments.ts'
import { newId, sha256 } from '../crypto.ts'
import { connect, type Database } from '../database/connect.ts'
import { sessions, users } from '../database/schema.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const ZONE = 'Europe/Berlin'

// Another seed, another year.
const SEED = 7

/** `hands` is how much one has begun at a time, `plans` how much of what there is to do comes from one, in shares. */
const PEOPLE = [
  {
    ...{ email: 'mira@example.com', first_name: 'Mira', last_name: 'Lindqvist', hands: 12, plans: 1.7 },
    leave: ['02-16/02-20', '07-20/08-07', '10-26/10-30'],
  },
  {
    ...{ email: 'jonas@example.com', first_name: 'Jonas', last_name: 'Weber', hands: 10, plans: 0.7 },
    leave: ['04-07/04-17', '08-10/08-28'],
  },
  {
    ...{ email: 'aylin@example.com', first_name: 'Aylin', last_name: 'Kaya', hands: 11, plans: 0.9 },
    leave: ['05-18/05-29', '08-03/08-14', '11-09/11-13'],
  },
  {
    ...{ email: 'tomas@example.com', first_name: 'Tomás', last_name: 'Pereira', hands: 10, plans: 0.7 },
    leave: ['03-16/03-20', '06-22/07-10', '09-28/10-02'],
  },
] as const

/** Of all of them, and known to everybody: no other database may get it. */
const PASSWORD = 'a year of small steps'

const HOLIDAYS = ['12-23/12-31', '01-01/01-03', '03-08/03-08', '05-01/05-01', '10-03/10-03']

const words = (text: string) => text.trim().split(/,\s+/)
const sentences = (text: string) => text.trim().split(/(?<=\.)\s+/)

const PLACES = words(`
  booking form, invoice template, customer export, mobile app, partner portal, weekly report, price list, sign-up form,
  stock list, ticket inbox, newsletter, room calendar, payment step, site search`)

/** A verb, an object and a place make a name, a reason and a remark its description. */
const WORK = [
  {
    verbs: words('Fix, Track down, Reproduce, Look into'),
    objects: words(`
      the wrong totals in, the missing umlauts in, the slow first load of, the duplicate rows in, the lost filter in,
      the stale prices in, the doubled e-mails from, the time-outs of, the empty second page of`),
    reasons: sentences(`
      Two customers wrote in about it. It came with the last release. Support has the screenshots.
      It shows on Mondays only, it seems. Seen in the log, around four in the morning.`),
  },
  {
    verbs: words('Build, Sketch, Try out, Finish'),
    objects: words(`
      a bulk edit for, a preview for, a keyboard shortcut for, an undo for, a date filter for, a print view for,
      a reminder for, a progress bar for, a first-steps tour for`),
    reasons: sentences(`
      Asked for more often than anything else. The smallest thing that helps is enough. The drafts are in the folder.
      It saves the front desk an hour a week. Promised to the pilot customers.`),
  },
  {
    verbs: words('Write, Review, Translate, Update'),
    objects: words(`
      the guide to, the help page of, the release notes of, the FAQ about, the error messages of, the welcome mail for,
      the privacy notice of, the training slides about`),
    reasons: sentences(`
      What is there now is of last year. German and English, two pages at most. With fresh screenshots.
      Half of the questions to support are about it. Legal wants to read it first.`),
  },
  {
    verbs: words('Check, Automate, Document, Speed up'),
    objects: words(`
      the nightly backup of, the monitoring of, the deployment of, the data import of, the clean-up of, the tests of,
      the image cache of`),
    reasons: sentences(`
      It has been done by hand for too long. The audit asks for it. It took forty minutes last time.
      Nobody has looked at it since spring. The disk was at 91 percent.`),
  },
  {
    verbs: words('Call, Meet, Write back to, Make an offer to'),
    objects: words(`
      Nordlicht Brewery about, the Harbour Museum about, Kessler & Sons about, Café Zoë about, the city library about,
      Müller Logistics about, the theatre office about`),
    reasons: sentences(`
      They have been waiting since last week. Their contract ends with the quarter. A short call should do.
      They would pay for it. They saw it at the fair.`),
  },
]

const REMARKS = sentences(`
  Half a day at most; what is left over becomes an assignment of its own. Before the next release, please. No hurry.
  The notes of the last planning have the details. Keep the old way working meanwhile.
  Done when it has been on staging for a day. Ask before you change anything that customers see.`)

const NEWS = sentences(`
  Now with the numbers of last month. The customer has answered: as soon as we can. Smaller than we thought.
  Talked it over; the second draft it is. This needs the new server first. Agreed in the planning.`)

type Person = (typeof PEOPLE)[number] & { id: string; token_hash: Uint8Array }

/** An assignment as the team knows it, and from when on its assignee can go on with it. */
type Task = Pick<Assignment, 'id' | 'description' | 'status'> & {
  creator: Person
  assignee: Person
  since: number
  due: number
}

/**
 * Fills an empty database with a year of a small team's work, which ends with the last midnight, UTC, and is the same for the
 * same end, but for ids. All of it or nothing: a database with the demo in it is left as it is, and so is one that holds
 * any other account.
 */
export async function fillDemo(url: string, kdf: Kdf, now: Date): Promise<'filled' | 'kept' | 'refused'> {
  // A single connection, for all of it to be one transaction.
  const { db, close } = connect(url, { max: 1 })
  try {
    await db.execute(sql`begin`)
    // Nobody else can get an account until that ends.
    await db.execute(sql`lock table ${users} in share row exclusive mode`)
    const emails = PEOPLE.map(({ email }) => email)
    const [all, ours] = [await db.$count(users), await db.$count(users, inArray(users.email, emails))]
    if (all > 0) return all === ours && ours === PEOPLE.length ? 'kept' : 'refused'
    const end = Math.floor(now.getTime() / DAY) * DAY
    const start = yearBefore(end)
    const people = await hire(db, await hashPassword(kdf, PASSWORD), start)
    await work(db, people, start.getTime(), end)
    const ids = people.map(({ id }) => id)
    await db.delete(sessions).where(inArray(sessions.user_id, ids))
    await db.execute(sql`commit`)
    return 'filled'
  } finally {
    await close()
  }
}

/** Whom to log in as, and where a picture of the year until now is, as lines of a greeting. */
export function invitation(origin: string, now: Date): string {
  const query = `bucket=week&from=${yearBefore(now.getTime()).toISOString().slice(0, 10)}&timezone=${ZONE}&format=svg`
  return `\
  Log in as      ${PEOPLE[0].email}, password: ${PASSWORD}
  See the year   ${origin}/assignments/reports/flow/?${query}
                 (with the token that the login answers)
`
}

function yearBefore(end: number): Date {
  const date = new Date(end)
  date.setUTCFullYear(date.getUTCFullYear() - 1)
  return date
}

/** Makes the accounts, and for each a session that outlasts the year. */
async function hire(db: Database, password: string, now: Date): Promise<Person[]> {
  const at = now.toISOString()
  const people: Person[] = []
  for (const person of PEOPLE) {
    const { email, first_name, last_name } = person
    const id = newId(now)
    await db.insert(users).values({ id, email, first_name, last_name, password, created_at: at, updated_at: at })
    const { token } = await createSession(db, { user_id: id, password_version: 1, user_agent: null, days: 400 }, now)
    people.push({ ...person, id, token_hash: sha256(token) })
  }
  return people
}

type Office = {
  db: Database
  dice: ReturnType<typeof createDice>
  people: Person[]
  tasks: Task[]
  names: Set<string>
  start: number
}

/** A moment at which somebody does something. */
type Turn = { person: Person; at: number; isPlanning: boolean }

/** Lets the people work through every day of the year. */
async function work(db: Database, people: Person[], start: number, end: number) {
  const office: Office = { db, dice: createDice(SEED), people, tasks: [], names: new Set(), start }
  const first = new TZDate(start, ZONE)
  for (let day = 0; ; day++) {
    const midnight = new TZDate(first.getFullYear(), first.getMonth(), first.getDate() + day, ZONE)
    if (midnight.getTime() >= end) return
    const turns = turnsOf(office, midnight).filter(({ at }) => at > start && at < end)
    for (const turn of turns.sort((one, other) => one.at - other.at)) await take(office, turn)
  }
}

/** The moments of a day, mostly in office hours. Every other Monday the first of the people plans. */
function turnsOf(office: Office, midnight: TZDate): Turn[] {
  const { chance, between, pick } = office.dice
  const date = midnight.toISOString().slice(5, 10)
  const isIn = (span: string) => span.slice(0, 5) <= date && date <= span.slice(-5)
  const isOff = midnight.getDay() % 6 === 0 || HOLIDAYS.some(isIn)
  const isPlanned = midnight.getDay() === 1 && Math.floor((midnight.getTime() - office.start) / (7 * DAY)) % 2 === 0
  const anyHour = () => between(9, 22)
  const officeHour = () => (chance(0.02) ? anyHour() : pick([between(8.4, 12.4), between(13, 17.5)]))
  return office.people.flatMap((person, index) => {
    const turns = (count: number, hour: () => number, isPlanning = false) =>
      Array.from({ length: count }, () => ({ person, at: midnight.getTime() + hour() * HOUR, isPlanning }))
    if (isOff || person.leave.some(isIn)) return turns(chance(0.05) ? 1 : 0, anyHour)
    const plans = index === 0 && isPlanned ? between(8, 14) * season(office, midnight.getTime()) : 0
    return [...turns(between(3, 8), officeHour), ...turns(plans, () => between(9, 10.5), true)]
  })
}

/** What ebbs and flows over so many weeks, from -1 to 1. */
const tide = ({ start }: Office, at: number, weeks: number) =>
  Math.sin((2 * Math.PI * (at - start)) / (weeks * 7 * DAY))

/** How much is asked for at a time, 1 on average. */
const season = (office: Office, at: number) => 1 + 0.8 * tide(office, at, 16)

/** Does what a person would: ask for something new, see to what one has asked for, go on with what is begun, begin something. */
async function take(office: Office, turn: Turn): Promise<void> {
  const { person, at, isPlanning } = turn
  const { chance, pick, effort } = office.dice
  const mine = office.tasks.filter(({ assignee }) => assignee === person)
  const todo = mine.filter(({ status }) => status === 'todo')
  const begun = mine.filter(({ status }) => status === 'in progress')
  const due = mine.find((task) => task.due <= at)
  const isBusy = todo.length > 25
  if (isPlanning || chance(0.2 * person.plans * season(office, at) * (isBusy ? 0.5 : 1))) return create(office, turn)
  if (chance(0.09)) return tidyUp(office, turn)
  if (due?.status === 'error') return change(office, due, turn, { status: 'in progress' }, at + effort() / 2)
  if (due) {
    const fails = chance(0.08 + 0.2 * Math.max(tide(office, at, 23), 0))
    return fails
      ? change(office, due, turn, { status: 'error' }, at + 2.5 * effort())
      : change(office, due, turn, { status: 'done' })
  }
  const hands = person.hands * (1 + 0.5 * tide(office, at, 12)) + todo.length / 12
  if (todo.length === 0 || begun.length >= hands) return
  const next = chance(0.35) ? (todo.at(-1) as Task) : pick(todo.slice(0, 6))
  return change(office, next, turn, { status: 'in progress' }, at + effort())
}

async function create(office: Office, turn: Turn): Promise<void> {
  const { db, dice, people, tasks, names } = office
  const { chance, pick, between } = dice
  const { verbs, objects, reasons } = pick(WORK)
  const name = `${pick(verbs)} ${pick(objects)} the ${pick(PLACES)}`
  // Nobody asks for the same thing twice.
  if (names.has(name)) return create(office, turn)
  names.add(name)
  const description = chance(0.1) ? '' : `${pick(reasons)} ${chance(0.6) ? pick(REMARKS) : ''}`.trim()
  const assignee = chance(0.4) ? turn.person : pick(people)
  const isAtOnce = assignee === turn.person && !turn.isPlanning && chance(0.2)
  const fields = { name, description, status: isAtOnce ? ('in progress' as const) : ('todo' as const) }
  const { id } = accepted(await createAssignment(db, bearerOf(turn), { ...fields, assignee: assignee.id }))
  const due = isAtOnce ? turn.at + between(5, 50) * MINUTE : NEVER
  tasks.push({ id, ...fields, creator: turn.person, assignee, since: turn.at, due })
}

/** What one does now and then about what one has asked for: drop it, open it again, hand it over, tell more. */
async function tidyUp(office: Office, turn: Turn): Promise<void> {
  const { db, dice, people, tasks } = office
  const { chance, pick, effort } = dice
  const own = tasks.filter(({ creator }) => creator === turn.person)
  const open = own.filter(({ status }) => status !== 'done')
  const stale = open.filter(({ status, since }) => status !== 'in progress' && since < turn.at - 30 * DAY)
  const recent = own.filter(({ status, since }) => status === 'done' && since > turn.at - 10 * DAY)
  if (stale.length > 0 && chance(0.3)) {
    const task = pick(stale)
    accepted(await deleteAssignment(db, bearerOf(turn), task.id, undefined))
    tasks.splice(tasks.indexOf(task), 1)
  } else if (recent.length > 0 && chance(0.3)) {
    await (chance(0.5)
      ? change(office, pick(recent), turn, { status: 'todo' })
      : change(office, pick(recent), turn, { status: 'in progress' }, turn.at + effort()))
  } else if (open.length > 0) {
    const task = pick(open)
    const others = people.filter((person) => person !== task.assignee)
    const news = `${task.description} ${pick(NEWS)}`.trim()
    await change(office, task, turn, chance(0.5) ? { assignee: pick(others).id } : { description: news }, task.due)
  }
}

const NEVER = Number.POSITIVE_INFINITY

async function change(
  { db, people }: Office,
  task: Task,
  turn: Turn,
  fields: Partial<Pick<Assignment, 'status' | 'assignee' | 'description'>>,
  due = NEVER,
): Promise<void> {
  accepted(await changeAssignment(db, bearerOf(turn), task.id, fields, undefined))
  const assignee = people.find(({ id }) => id === fields.assignee) ?? task.assignee
  Object.assign(task, { ...fields, assignee, since: turn.at, due })
}

const bearerOf = ({ person: { token_hash }, at }: Turn): Bearer => ({ token_hash, now: new Date(at).toISOString() })

/** What a verb has done; here it refuses nobody. */
function accepted(result: Assignment | WriteError): Assignment {
  if (typeof result === 'string') throw new Error(`The demo was refused: ${result}`)
  return result
}

/** Chance that is the same at every run: mulberry32, with what is drawn from it. */
function createDice(seed: number) {
  let state = seed
  const random = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const chance = (share: number) => random() < share
  const between = (from: number, to: number) => from + random() * (to - from)
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
  /** How long something takes: minutes for a fifth, mostly days, weeks at times. */
  const effort = () =>
    chance(0.2) ? between(15, 120) * MINUTE : 6 * DAY * Math.exp(between(-1.6, 1.6) + between(-1.4, 1.4))
  return { chance, between, pick, effort }
}
