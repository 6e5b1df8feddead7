import fc from 'fast-check'
import { FuzzState } from './fuzz-state.ts'
import { anonymous, localTarget, remoteTarget, TARGET } from './fuzz-target.ts'
import { type Operation, type ReceivedResponse, readContract, type SentRequest } from './openapi.ts'
import { isValidAuthorization, requestPlans } from './request-plans.ts'

export type FuzzResult = {
  /** How often each operation responded with each status. */
  counts: Map<string, Map<number, number>>
  /** Each kind of violation, with the shortest example. */
  violations: string[]
  logLines: string[]
}

type FuzzOptions = {
  runs: number
  seed: number
  environment?: Record<string, string>
  /** Uses only operations that document this status. */
  status?: number
  /** Prints statistics. */
  isVerbose?: boolean
}

/** Sends random requests to every operation of the app's OpenAPI document, and checks each response against it. */
export async function fuzz({ runs, seed, environment = {}, status, isVerbose }: FuzzOptions): Promise<FuzzResult> {
  const target = TARGET ? remoteTarget(TARGET) : await localTarget(environment)
  const document = await target.send({ ...anonymous, method: 'GET', url: '/openapi.json' })
  const contract = readContract(JSON.parse(document?.text ?? ''))
  const state = new FuzzState(target, contract.operationOf)
  await state.fill()

  const counts = new Map(contract.operations.map(({ id }) => [id, new Map<number, number>()]))
  const report = new ViolationReport()
  let requests = 0
  const chosen = contract.operations.filter(({ declared }) => !status || declared.responses[status])
  const weighted = chosen.map((operation) => ({ weight: weightOf(operation), arbitrary: requestPlans(operation) }))
  const property = fc.asyncProperty(fc.oneof(...weighted), async (plan) => {
    target.advance(7)
    const request = await state.prepare(plan)
    const response = await target.send(request)
    if (!response) return
    requests++
    const operation = contract.operationOf(request)
    const seen = counts.get(operation?.id ?? '')
    seen?.set(response.status, (seen.get(response.status) ?? 0) + 1)

    const isAuthorized = isValidAuthorization(plan.authorization)
    const violations = contract.violations(request, isAuthorized, response)
    const hasSession = await state.hasSession(request.person)
    if (response.status === 401 && isAuthorized && operation?.isSecured && hasSession)
      violations.push('401 with a valid token')
    for (const violation of violations) report.add(violation, operation, request, response)
    if (!hasSession) await state.logIn(request.person)
    state.remember(request, response)
    if (requests % 500 === 0) await state.replacePeople()
  })
  await fc.assert(property, { seed, numRuns: runs, endOnFailure: true })
  await target.close()
  if (isVerbose) printStatistics(requests, seed, counts, report.lines())
  return { counts, violations: report.lines(), logLines: target.logLines() }
}

/** Over HTTP, a request with a password takes a real key derivation. A deleted account takes its assignments with it. */
const weightOf = ({ id, body }: Operation) =>
  id === 'deleteAccount' || (TARGET && /password"/.test(JSON.stringify(body ?? ''))) ? 1 : 12

class ViolationReport {
  readonly #examples = new Map<string, { count: number; example: string }>()

  add(violation: string, operation: Operation | undefined, request: SentRequest, response: ReceivedResponse) {
    const key = `${request.method} ${operation?.path ?? 'no operation'}: ${violation}`.slice(0, 300)
    const previous = this.#examples.get(key)
    const example = describeExchange(request, response)
    const isShorter = !previous || example.length < previous.example.length
    this.#examples.set(key, {
      count: (previous?.count ?? 0) + 1,
      example: isShorter ? example : previous.example,
    })
  }

  lines = () => [...this.#examples].map(([key, { count, example }]) => `${count} times ${key}\n${example}`)
}

const describeExchange = ({ method, url, headers, body }: SentRequest, { status, text }: ReceivedResponse) =>
  [
    `${method} ${url}`.slice(0, 600),
    ...headers.map((pair) => pair.join(': ').slice(0, 200)),
    body ? JSON.stringify(Buffer.from(body).toString('latin1').slice(0, 600)) : '',
    `→ ${status} ${text.slice(0, 600)}`,
  ].join('\n')

function printStatistics(requests: number, seed: number, counts: FuzzResult['counts'], violations: string[]) {
  const statuses = (seen: Map<number, number>) => [...seen].sort().map((pair) => pair.join(': '))
  const lines = [...counts].map(([id, seen]) => `${id.padEnd(22)} ${statuses(seen).join('  ')}`)
  console.log([`${requests} requests, seed ${seed}`, ...lines, '', ...violations].join('\n'))
}
