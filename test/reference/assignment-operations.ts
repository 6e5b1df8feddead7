import fc from 'fast-check'
import { newId } from '../../src/crypto.ts'
import { statuses } from '../../src/database/schema.ts'
import type { Docket } from '../support/fixtures.ts'
import {
  AssignmentModel,
  type Fields,
  isoOf,
  MATCHING_TAGS,
  type ModelUser,
  writableFields,
} from './assignment-model.ts'

/** Runs random sequences of operations, and expects all lists and histories of the model at their ends. */
export async function expectModel(docket: Docket, runs: number, seed: number) {
  const { createUser, clock } = docket
  const people = [await createUser({ email: 'Ada.Lovelace@Example.com' })]
  while (people.length < 4) people.push(await createUser())
  const model = new AssignmentModel(docket, people)
  const property = fc.asyncProperty(operationSequences(model, clock.now), async (operations) => {
    for (const { run } of operations) await run()
    for (const person of people) {
      await model.expectList(person, { limit: '3' })
      for (const id of model.ids) await model.expectHistory(person, id, {})
    }
  })
  await fc.assert(
    property.beforeEach(() => model.reset()),
    { numRuns: runs, seed, unbiased: true },
  )
}

const HOUR = 3_600_000

/** Generates sequences of operations on a model, each of which describes itself in a failing sequence. */
function operationSequences(model: AssignmentModel, startTime: number) {
  const { people } = model
  const unknownId = newId(new Date(startTime))
  const word = fc.constantFrom('report', 'Report', 'RÉSUMÉ', '50%', 'a\\b', 'off_now', "it's x", '😀', '～')
  const words = (least: number) => fc.array(word, { minLength: least, maxLength: 2 }).map((chosen) => chosen.join(' '))
  const status = fc.constantFrom(...statuses)
  const spellings = people.flatMap(({ id, email }) => [id, id.toUpperCase(), email, email.toUpperCase()])
  const fields = {
    name: words(1).map((name) => ` ${name}\n`),
    description: words(0),
    status,
    assignee: fc.constantFrom(...spellings, unknownId, 'nobody@example.com'),
  }
  const whole = fc.record(fields, { requiredKeys: ['name'] })
  const only = (name: keyof Fields) => fc.record<Fields>({ [name]: fields[name] })
  const partial = fc.oneof(...writableFields.map(only), only('status'), fc.record(fields, { requiredKeys: ['status'] }))

  const person = fc.constantFrom('me', ...people.map(({ id }) => id), unknownId)
  // Few moments, so that rows of exactly that time occur.
  const moment = fc.integer({ min: -1, max: 3 }).map((hours) => isoOf(startTime + hours * HOUR))
  const filters: Record<string, fc.Arbitrary<string>> = {
    status: fc.uniqueArray(status, { minLength: 1 }).map(String),
    assignee: person,
    creator: person,
    created_after: moment,
    created_before: moment,
    updated_after: moment,
    updated_before: moment,
    search: fc.constantFrom('REPORT', 'résumé', 'po,50%', '"t off_",R', '%', '_', '\\', "',😀", '～'),
  }
  const filtered = fc
    .subarray(Object.entries(filters), { maxLength: 3 })
    .chain((chosen) => fc.record(Object.fromEntries(chosen)))
  const sortFields = ['created_at', 'updated_at', 'name', 'status'].flatMap((field) => [field, `-${field}`])
  const ordering = fc
    .uniqueArray(fc.constantFrom(...sortFields), {
      minLength: 1,
      maxLength: 3,
      selector: (field) => field.replace('-', ''),
    })
    .map(String)
  const limit = fc.constantFrom('1', '2', '3', '7', '100')
  const listOptions = fc.record({ ordering, limit, count: fc.constantFrom('true', 'false') }, { requiredKeys: [] })

  const anyone = fc.nat(people.length - 1)
  const role = fc.constantFrom('creator' as const, 'creator' as const, 'assignee' as const)
  const target = { which: fc.nat(99), as: fc.oneof(role, role, anyone) }
  const tag = fc.constantFrom(...Array<string>(5).fill(''), ...MATCHING_TAGS, '"999"')
  const noTag = fc.constantFrom(...Array<string>(9).fill(''), ...MATCHING_TAGS, '"999"')
  const tags = fc.record({ 'If-Match': tag, 'If-None-Match': noTag })
  const caller = (index: number) => people[index] as ModelUser

  const create = operation('create', fc.record({ as: anyone, body: whole }), ({ as, body }) =>
    model.create(caller(as), body),
  )
  const read = operation('read', fc.record({ ...target, tag }), ({ tag, ...aimed }) =>
    model.read(...model.aim(aimed), tag),
  )
  const patch = operation('patch', fc.record({ ...target, tags, body: partial }), ({ tags, body, ...aimed }) =>
    model.change('PATCH', ...model.aim(aimed), tags, body),
  )
  const put = operation(
    'put',
    fc.record({ ...target, tags, body: fc.oneof(only('name'), whole) }),
    ({ tags, body, ...aimed }) => model.change('PUT', ...model.aim(aimed), tags, body),
  )
  const method = fc.constantFrom('PUT' as const, 'PATCH' as const)
  const sendBack = operation('send back', fc.record({ ...target, method, status }), ({ method, status, ...aimed }) =>
    model.sendBack(method, ...model.aim(aimed), status),
  )
  const remove = operation('remove', fc.record({ ...target, tags }), ({ tags, ...aimed }) =>
    model.remove(...model.aim(aimed), tags),
  )
  const history = operation('history', fc.record({ ...target, limit }), ({ limit, ...aimed }) =>
    model.expectHistory(...model.aim(aimed), { limit }),
  )
  const list = operation('list', fc.record({ as: anyone, filtered, listOptions }), ({ as, filtered, listOptions }) =>
    model.expectList(caller(as), { ...filtered, ...listOptions }),
  )
  const advance = operation('advance', fc.constantFrom(HOUR, HOUR, HOUR, -HOUR, -HOUR, 1), async (milliseconds) =>
    model.advanceClock(milliseconds),
  )

  const first = fc.array(create, { minLength: 6, maxLength: 6 })
  const changes = [create, patch, patch, patch, patch, put, put, sendBack, remove]
  const later = fc.oneof(...changes, read, history, list, list, list, advance, advance)
  return fc.tuple(first, fc.array(later, { maxLength: 160, size: 'max' })).map((parts) => parts.flat())
}

const operation = <Input>(name: string, input: fc.Arbitrary<Input>, run: (input: Input) => Promise<unknown>) =>
  input.map((value) => ({ run: () => run(value), [fc.toStringMethod]: () => `${name} ${fc.stringify(value)}` }))
