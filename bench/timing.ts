// Measures whether response times reveal which addresses have accounts: `DATABASE_URL=… node bench/timing.ts`, with an empty
// database. It starts a server with rate limits, sends SAMPLES requests for known and for unknown addresses in turn, and
// prints the medians, which should be within 10 % of each other. Run it on an idle machine. It is not a test because other
// load would decide the result.
import postgres from 'postgres'
import { hashPassword } from '../src/accounts/passwords.ts'
import { newId } from '../src/crypto.ts'
import { migrate } from '../src/database/migrate.ts'
import { createNodeKdf } from '../src/node/kdf.ts'
import { startServer } from '../test/support/process.ts'
import './build.ts'

const { DATABASE_URL, SAMPLES = '60' } = process.env
if (!DATABASE_URL) throw new Error('Set DATABASE_URL.')
const samples = Number(SAMPLES)

const password = 'purple horse battery'
const hash = await hashPassword(createNodeKdf('pbkdf2_sha256'), password)
const scrypt = await hashPassword(createNodeKdf('scrypt'), password)
const login = (email: string) => ({ email, password: 'wrong horse battery' })

await migrate(DATABASE_URL)
const database = postgres(DATABASE_URL, { max: 1, onnotice: () => {} })
// With TRUST_PROXY each request can come from another address, so that none is limited.
const server = startServer({ DATABASE_URL, TRUST_PROXY: 'true', LOG_LEVEL: 'fatal' })
const url = await server.url()

let clients = 0
async function timed(path: string, body: object): Promise<number> {
  const client = `10.1.${clients >> 8}.${clients++ & 255}`
  const start = performance.now()
  const headers = { 'Content-Type': 'application/json', 'X-Forwarded-For': client }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const ms = performance.now() - start
  if (response.status === 429 || response.status >= 500) throw new Error(`${path} got ${response.status}`)
  await response.text()
  return ms
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number

for (const [name, path, bodyFor, stored] of [
  ['sign-up', '/accounts/signup/', (email) => ({ first_name: 'Ada', last_name: 'Lovelace', email, password }), hash],
  ['reset', '/accounts/password-reset/', (email) => ({ email }), hash],
  ['login', '/accounts/login/', login, hash],
  ['login, weaker hash', '/accounts/login/', login, hash.replace('1000000', '260000')],
  ['login, unusable hash', '/accounts/login/', login, '!'],
  ['login, costlier hash', '/accounts/login/', login, hash.replace('1000000', '1500000')],
  ['login, other algorithm', '/accounts/login/', login, scrypt],
] as [string, string, (email: string) => object, string][]) {
  const known: number[] = []
  const unknown: number[] = []
  for (let index = -5; index < samples; index++) {
    const id = newId(new Date())
    await database`insert into users values (${id}, ${`known.${id}@example.com`}, 'Per', 'Son', ${stored}, 1, now(), now())`
    const measure = async (isKnown: boolean) => {
      const ms = await timed(path, bodyFor(`${isKnown ? 'known' : 'other'}.${id}@example.com`))
      // The first requests are a warm-up. The pause lets background tasks end.
      if (index >= 0) (isKnown ? known : unknown).push(ms)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    for (const isKnown of index % 2 ? [true, false] : [false, true]) await measure(isKnown)
  }
  const [a, b] = [median(known), median(unknown)]
  console.log(`${name.padEnd(22)} known ${a.toFixed(2)} ms, unknown ${b.toFixed(2)} ms, ratio ${(a / b).toFixed(3)}`)
}

await server.stop()
await database.end()
