import { expect } from 'vitest'
import { createSignupBody, type Docket, PASSWORD } from '../support/fixtures.ts'

const ATTACKER_STEPS = ['attacker signs up', 'attacker logs in', 'attacker requests a reset'] as const
const OWNER_STEPS = ['owner signs up', 'owner activates', 'owner logs in'] as const
type Step = (typeof ATTACKER_STEPS | typeof OWNER_STEPS)[number]

/** All orders of the steps of an attacker and the owner of an address, who takes the steps in their order. */
export const ORDERS: Step[][] = permutations([...ATTACKER_STEPS]).flatMap((steps) =>
  interleavings(steps, [...OWNER_STEPS]),
)

const ATTACKER_PASSWORD = 'stolen horse battery'

/** Expects that an attacker never gets the account of an address, in any of the orders. */
export async function expectNoTakeover(docket: Docket, orders: Step[][]) {
  const { call, logIn, newestCode, advance, drain } = docket
  const signUp = (body: object) => call('POST', '/accounts/signup/', { body })
  for (const [index, order] of orders.entries()) {
    const email = `owner${index}@order.example`
    let code = ''
    const actions: Record<Step, () => Promise<{ status: number } | undefined>> = {
      'attacker signs up': () => signUp({ ...createSignupBody(email), password: ATTACKER_PASSWORD }),
      'attacker logs in': () => logIn(email, ATTACKER_PASSWORD),
      'attacker requests a reset': () => call('POST', '/accounts/password-reset/', { body: { email } }),
      'owner signs up': async () => {
        const response = await signUp(createSignupBody(email))
        code = await newestCode()
        return response
      },
      'owner activates': () => call('POST', '/accounts/activate-account/', { body: { code } }),
      'owner logs in': () => logIn(email, PASSWORD),
    }
    for (const step of order) {
      advance(61)
      const response = await actions[step]()
      await drain()
      if (step === 'attacker logs in') expect(response?.status, order.join()).not.toBe(200)
      if (step === 'owner activates' || step === 'owner logs in') expect(response?.status, order.join()).toBe(200)
    }
    expect((await logIn(email, ATTACKER_PASSWORD)).status, order.join()).toBe(401)
    expect((await logIn(email, PASSWORD)).status, order.join()).toBe(200)
  }
}

function permutations(steps: Step[]): Step[][] {
  if (steps.length === 0) return [[]]
  return steps.flatMap((first) => permutations(steps.filter((step) => step !== first)).map((rest) => [first, ...rest]))
}

/** Returns all ways to merge two lists that keep the order of each. */
function interleavings(one: Step[], other: Step[]): Step[][] {
  const [first, ...firstRest] = one
  const [second, ...secondRest] = other
  if (!first || !second) return [[...one, ...other]]
  return [
    ...interleavings(firstRest, other).map((rest) => [first, ...rest]),
    ...interleavings(one, secondRest).map((rest) => [second, ...rest]),
  ]
}
