import { OpenAPIHono, z } from '@hono/zod-openapi'
import { asCaller } from '../http/auth.ts'
import { protectedRoute } from '../http/declare-route.ts'
import { assertCursorOf, linkPages, parseCursor } from '../http/pages.ts'
import { cursor, id, limit, pageOf, pageResponse } from '../http/schemas.ts'
import type { Env } from '../services.ts'
import { listPeople } from './people.ts'
import { search } from './schemas.ts'

const PersonSchema = z.strictObject({ id, first_name: z.string(), last_name: z.string() }).openapi('Person', {
  example: { id: '01986f5e-7c00-7000-8000-00000000000a', first_name: 'Ada', last_name: 'Lovelace' },
})

const PeoplePage = pageOf(PersonSchema).openapi('PeoplePage')

/** The ids of people, sorted and without duplicates, so that equal filters share their cursors. */
const ids = z
  .union([z.string(), z.array(z.string())])
  .transform((values) => [...new Set([values].flat().map((value) => value.toLowerCase()))].sort())
  .pipe(z.array(id).max(100, 'Must be at most 100 ids'))
  .optional()
  .openapi({
    type: 'array',
    maxItems: 100,
    items: { type: 'string', format: 'uuid' },
    description: 'One or several ids, as `id=…&id=…`. Those of people whom you cannot see are left out.',
    example: ['01986f5e-7c00-7000-8000-00000000000a'],
  })

const nameSearch = search.openapi({
  description:
    'Up to 10 terms, which must all occur in the first and last name, as in the search for assignments: `ada`, `"ada lovelace"`.',
  example: 'ada',
})

export const peopleRoutes = new OpenAPIHono<Env>().openapi(
  protectedRoute({
    method: 'get',
    path: '/people',
    operationId: 'listPeople',
    summary: 'List the people you share assignments with',
    description: `Returns you, and everyone who is the creator or assignee of an assignment that you can see, by name. E-mail addresses stay private.

- With \`id\`, turns the ids in assignments and events into names.
- People are sorted by id, which is the order of their accounts.`,
    tags: ['Accounts'],
    request: { query: z.strictObject({ id: ids, search: nameSearch, limit, cursor }) },
    responses: { 200: pageResponse(PeoplePage, 'A page of people.') },
    problems: ['invalid_cursor'],
  }),
  async (c) => {
    const { limit, cursor: text, ...filter } = c.req.valid('query')
    const cursor = parseCursor(text, z.tuple([z.guid()]))
    const { caller, people } = await asCaller(c, (bearer) => listPeople(c.env.db, bearer, filter, { cursor, limit }))
    const identity = [caller, filter, 'people']
    assertCursorOf(identity, text, cursor)
    return c.json({ ...linkPages(c, people, identity), results: people.rows }, 200)
  },
)
