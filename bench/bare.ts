// The server that `npm run bench` compares Docket with: node:http and postgres.js alone. One statement checks the token and
// reads the rows, and the JSON is the same. There is no validation, limit, timeout, log or header.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import postgres from 'postgres'
import { writeCursor } from '../src/assignments/cursors.ts'

const database = postgres(process.env.DATABASE_URL as string, {
  max: 10,
  connection: { application_name: 'docket' },
  onnotice: () => {},
})

const BY_TOKEN = `
  from sessions join users on users.id = sessions.user_id and users.password_version = sessions.password_version
  where token_hash = $1 and expires_at > $2`

const READ_ACCOUNT = `
  select users.id, email, first_name, last_name, users.created_at, users.updated_at ${BY_TOKEN}`

const COLUMNS = 'a.id, name, description, status, assignee, creator, created_at, updated_at, version'

const READ_ASSIGNMENT = `
  with caller as (select users.id ${BY_TOKEN})
  select ${COLUMNS} from caller join assignments as a on a.id = $3 and caller.id in (a.creator, a.assignee)`

const LIST_ASSIGNMENTS = `
  with caller as (select users.id ${BY_TOKEN})
  select page.*, caller.id as caller from caller left join (
    (
      select ${COLUMNS} from assignments as a where assignee = (select id from caller)
      order by id desc limit 21
    ) union all (
      select ${COLUMNS} from assignments as a where creator = (select id from caller) and assignee <> (select id from caller)
      order by id desc limit 21
    )
  ) as page on true
  order by page.id desc limit 21`

/** Runs a statement for the token of a request. */
function query({ headers: { authorization = '' } }: IncomingMessage, statement: string, ...parameters: string[]) {
  const hash = createHash('sha256').update(authorization.slice('Bearer '.length)).digest()
  return database.unsafe(statement, [hash, new Date(), ...parameters], { prepare: true })
}

async function listAssignments(request: IncomingMessage) {
  const rows = await query(request, LIST_ASSIGNMENTS)
  const results = rows.slice(0, 20).map(({ caller, ...assignment }) => assignment)
  return {
    next: rows.length > 20 ? nextUrl(request, rows[0]?.caller, results.at(-1)?.id) : null,
    previous: null,
    results,
  }
}

function nextUrl({ headers, url }: IncomingMessage, caller: string, id: string) {
  const position = { keys: [id], isBackward: false, isInclusive: false }
  const cursor = writeCursor(position, [caller, {}, [{ by: 'created_at', descending: true }]])
  return `http://${headers.host}${url}?cursor=${cursor}`
}

async function answer(request: IncomingMessage) {
  const { url = '' } = request
  if (url === '/assignments/') return listAssignments(request)
  const id = url.slice('/assignments/'.length, -1)
  const rows = url === '/accounts/' ? query(request, READ_ACCOUNT) : query(request, READ_ASSIGNMENT, id)
  return (await rows)[0]
}

const server = createServer(async (request, response) => {
  const body = JSON.stringify(await answer(request))
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body)
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/docs/`))
process.once('SIGTERM', () => process.exit())
