import { expect } from 'vitest'
import { type Json, post } from './fixtures.ts'
import { startServer } from './process.ts'

export type Demo = Awaited<ReturnType<typeof startDemo>>

/** Starts the demo and logs in with the account that it prints. */
export async function startDemo(environment: Record<string, string>) {
  const server = startServer(environment, ['demo'])
  const url = await server.url()
  const [, email, password] = await server.waitForOutput(/Log in as +(\S+), password: (.+)/)
  const login = await post(`${url}/accounts/login/`, { email, password })
  expect(login.status).toBe(200)
  const { token } = (await login.json()) as { token: string }

  async function get(path: string) {
    const response = await fetch(new URL(path, url), { headers: { Authorization: `Bearer ${token}` } })
    expect(response.status).toBe(200)
    return response
  }
  const getJson = async (path: string) => (await get(path)).json() as Promise<Json>
  return {
    server,
    get,
    getJson,
    count: async (query = '') => (await getJson(`/assignments/?count=true&limit=1${query}`)).count as number,
    chartUrl: (await server.waitForOutput(/\S+format=svg$/m))[0],
  }
}

const DAY = 86_400_000
const to = new Date(Math.floor(Date.now() / DAY) * DAY)
const from = new Date(to.getTime() - 364 * DAY)

/** Returns the path of a report over the year of the demo. */
export const reportPath = (name: string) =>
  `/assignments/reports/${name}/?bucket=week&from=${from.toISOString()}&to=${to.toISOString()}`
