import { sql } from 'drizzle-orm'
import fc from 'fast-check'
import type { Assignment } from '../../src/assignments/assignments.ts'
import { newId } from '../../src/crypto.ts'
import type { Database } from '../../src/database/connect.ts'
import { assignment_search, assignments, statuses } from '../../src/database/schema.ts'
import { searchText } from '../../src/database/text.ts'

export type ListQuery = Record<string, string>

const DAY = 86_400_000

const WORDS = [
  'report',
  'Report',
  'RÉSUMÉ',
  'résumé',
  'Re\u0301sume\u0301',
  'İ\u0323zmir',
  '각',
  '\u1100\u1161\u11a8',
  '\u212b',
  'Жук',
  'жук',
  'ΔΡΌΜΟΣ',
  'δρόμος',
  '50%',
  'off_now',
  'a\\b',
  "it's",
  'x',
  '😀',
  'two pages',
]

/** Inserts random assignments of some people. Many share their times, so that ties occur. */
export async function insertAssignments(db: Database, people: string[], count: number, now: number) {
  const words = (minLength: number) =>
    fc.array(fc.constantFrom(...WORDS), { minLength, maxLength: 3 }).map((chosen) => chosen.join(' '))
  const samples = fc.sample(
    fc.record({
      name: words(1),
      description: words(0),
      status: fc.constantFrom(...statuses),
      assignee: fc.constantFrom(...people),
      creator: fc.constantFrom(...people),
      age: fc.nat(20),
    }),
    { numRuns: count, seed: 42 },
  )
  const rows: Assignment[] = samples.map(({ age, ...row }) => {
    const created = new Date(now - age * DAY)
    const updated_at = new Date(created.getTime() + (age % 4) * 3_600_000).toISOString()
    return { ...row, id: newId(created), created_at: created.toISOString(), updated_at, version: 1 }
  })
  await db.insert(assignments).values(rows)
  await db.insert(assignment_search).select(
    db
      .select({
        assignment: assignments.id,
        people: sql<string[]>`array[${assignments.assignee}, ${assignments.creator}]`.as('people'),
        text: sql<string>`${searchText(assignments.name, assignments.description)}`.as('text'),
      })
      .from(assignments),
  )
  return rows
}

/** Returns the assignments that a list must contain, in order, computed in the plainest way. */
export function computeList(rows: Assignment[], caller: string, query: ListQuery): Assignment[] {
  const fields = (query.ordering ?? '-created_at').split(',')
  fields.push(fields.at(-1)?.startsWith('-') ? '-id' : 'id')
  return rows.filter((row) => isIncluded(row, caller, query)).sort((a, b) => compare(a, b, fields))
}

function isIncluded(row: Assignment, caller: string, query: ListQuery) {
  const resolve = (person: string) => (person === 'me' ? caller : person)
  const iso = (time: string) => new Date(time).toISOString()
  const search = (query.search ?? '').replace(/[“”]/g, '"')
  const terms = [...search.matchAll(/"([^"]*)"|[^\s,"]+/g)].map(([term, phrase]) => fold(phrase ?? term))
  return (
    [row.creator, row.assignee].includes(caller) &&
    (!query.status || query.status.split(',').includes(row.status)) &&
    (!query.assignee || row.assignee === resolve(query.assignee)) &&
    (!query.creator || row.creator === resolve(query.creator)) &&
    (!query.created_after || row.created_at >= iso(query.created_after)) &&
    (!query.created_before || row.created_at < iso(query.created_before)) &&
    (!query.updated_after || row.updated_at >= iso(query.updated_after)) &&
    (!query.updated_before || row.updated_at < iso(query.updated_before)) &&
    terms.every((term) => fold(row.name).includes(term) || fold(row.description).includes(term))
  )
}

/** Compares two rows by signed fields. */
function compare(a: Assignment, b: Assignment, fields: string[]) {
  for (const field of fields) {
    const [left, right] = [a, b].map((row) => sortKey(row, field.replace('-', ''))) as [string, string]
    if (left !== right) return left < right === field.startsWith('-') ? 1 : -1
  }
  return 0
}

function sortKey(row: Assignment, field: string): string {
  // Names are sorted by their bytes in UTF-8, where an emoji comes after a full-width tilde.
  if (field === 'name') return Buffer.from(fold(row.name)).toString('hex')
  return field === 'status' ? String(statuses.indexOf(row.status)) : String(row[field as 'created_at'])
}

/** Removes differences of case and normalization. Sigma has two lower cases, and İ becomes two characters. */
const fold = (text: string) =>
  text.normalize('NFC').toLowerCase().replaceAll('ς', 'σ').replaceAll('i\u0307', 'i').normalize('NFC')

/** Returns values for each parameter of a list. */
export function queryValues(now: number, [me, other, third]: [string, string, string]): Record<string, string[]> {
  const daysAgo = (days: number) => new Date(now - days * DAY).toISOString()
  return {
    status: ['todo', 'in progress,done', 'error,todo,done,in progress'],
    assignee: ['me', other, third, newId(new Date())],
    creator: [me, other],
    created_after: [
      daysAgo(10),
      daysAgo(10).slice(0, 10),
      daysAgo(12).replace('Z', '+02:00'),
      daysAgo(12).toLowerCase(),
    ],
    created_before: [daysAgo(3), daysAgo(5).slice(0, 10)],
    updated_after: [daysAgo(9)],
    updated_before: [daysAgo(2).replace('.000Z', 'Z')],
    search: [
      'REPORT',
      'résumé',
      're\u0301sum',
      'RE\u0301SUME\u0301',
      'I\u0323\u0307zmi',
      '\u1100\u1161\u11a8',
      'a\u030a',
      '“two pages”',
      'жук report',
      'Δρόμοσ',
      'ΔΡΌΜΟΣ',
      '%',
      '_',
      '\\',
      "'",
      '"two pages"',
      '"two pages", x',
      'po',
      '😀',
      'nothing',
    ],
    ordering: ['created_at', '-created_at', 'updated_at', '-updated_at', 'name', '-name', 'status', '-status'],
  }
}
