import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import type { Json } from '../support/fixtures.ts'

/** An operation of the OpenAPI document. */
export type Operation = { id: string; method: string; path: string; declared: Json; body?: Json; isSecured: boolean }
export type SentRequest = {
  method: string
  url: string
  headers: [string, string][]
  body: Uint8Array | undefined
}
export type ReceivedResponse = { status: number; headers: Headers; text: string }

/** Words that reveal how the server is built. */
const LEAKS =
  /PostgresError|Drizzle|SQLSTATE|violates|syntax error at|Failed query|node_modules|file:\/\/|\n\s+at \S|ECONN/

/** Parses a body strictly; undefined if it is not JSON in UTF-8. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

/**
 * Checks responses against the published OpenAPI document. It uses no schema of the app, so that a document that differs
 * from the app is found too.
 */
export function readContract(document: Json) {
  const operations = operationsOf(resolveComponents(document))
  const validate = createValidator(document.components.schemas)
  const patterns = new Map(operations.map((operation) => [operation, pathPattern(operation.path)]))

  function operationsAt(url: string): Operation[] {
    const { pathname } = new URL(url, 'http://localhost')
    const decoded = pathname.replace(/%[0-7][0-9a-f]/gi, (encoded) =>
      /%2f/i.test(encoded) ? encoded : decodeURIComponent(encoded),
    )
    const matching = operations.filter((operation) => patterns.get(operation)?.test(decoded))
    // A path without parameters has precedence (OpenAPI 3.1, 4.8.8.2).
    const literal = matching.filter(({ path }) => !path.includes('{'))
    return literal.length > 0 ? literal : matching
  }

  /** Returns the operation of a request; undefined if the document has none. */
  function operationOf({ method, url }: SentRequest): Operation | undefined {
    const documented = method === 'HEAD' ? 'GET' : method
    return operationsAt(url).find((operation) => operation.method === documented)
  }

  /** Returns what is wrong with a response. */
  function violations(request: SentRequest, isAuthorized: boolean, response: ReceivedResponse): string[] {
    const { status, headers, text } = response
    const type = headers.get('Content-Type')?.split(';')[0] ?? ''
    const value = type.endsWith('json') ? parseJson(new TextEncoder().encode(text)) : text
    const wrong = generalViolations(response)
    const claim = (holds: unknown, violation: string) => holds || wrong.push(violation)

    if (status >= 400 && request.method !== 'HEAD') {
      claim(type === 'application/problem+json', `${status} is ${type}`)
      claim(!validate(document.components.schemas.Problem, value), `${status} is not a problem`)
      const problem = value as Json | undefined
      const isConsistent = problem?.request_id === headers.get('X-Request-Id') && problem?.status === status
      claim(isConsistent, 'the body has another request id or status')
    }

    const operation = operationOf(request)
    if (!operation) {
      const allowed = headers.get('Allow')?.split(', ') ?? []
      const others = operationsAt(request.url)
      if (others.length > 0) {
        const listsMethods = others.every(({ method }) => allowed.includes(method))
        claim(status === 405 && listsMethods, `another method is ${status}`)
      } else claim(status === 404 || !/^\/(a|healthz|readyz)/.test(request.url), `an unknown path is ${status}`)
      return wrong
    }

    claim(/^no-store(, no-transform)?$/.test(headers.get('Cache-Control') ?? ''), 'may be stored')
    if (operation.isSecured && !isAuthorized) claim(status === 401, `without a token it is ${status}`)
    const declared = operation.declared.responses[status]
    claim(declared, `${status} is not documented`)
    for (const [name, header] of Object.entries<Json>(declared?.headers ?? {})) {
      claim(!header.required || headers.get(name), `${status} has no ${name}`)
    }
    if (request.method === 'HEAD' || !declared?.content) claim(text === '', `${status} has a body`)
    else {
      const media = declared.content[type]
      const error = media ? validate(media.schema, value) : 'its type is not documented'
      claim(!error, `${status} as ${type} is not as documented: ${error}`)
    }
    if (status < 400) {
      wrong.push(...reasonsToReject(operation, request, validate).map((reason) => `${status}, though ${reason}`))
    }
    return wrong
  }

  return { operations, operationOf, violations, validate }
}

/** Returns a copy of the document with components in the place of references to them. */
function resolveComponents({ components, ...rest }: Json): Json {
  const resolve = (value: unknown): Json =>
    JSON.parse(JSON.stringify(value), (_, part) => {
      const [, kind = '', name = ''] = /^#\/components\/(\w+)\/(.+)$/.exec(part?.$ref ?? '') ?? []
      if (!kind) return part
      const { $ref, ...siblings } = part
      return { ...resolve(components[kind][name]), ...siblings }
    })
  return { components, ...resolve(rest) }
}

const operationsOf = (document: Json): Operation[] =>
  Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, declared]) => ({
      id: declared.operationId,
      method: method.toUpperCase(),
      path,
      declared,
      body: declared.requestBody?.content['application/json'].schema,
      isSecured: (declared.security ?? []).length > 0,
    })),
  )

const pathPattern = (path: string) => new RegExp(`^${path.replace(/\/$/, '').replace(/\{\w+\}/g, '[^/]+')}/?$`, 's')

/** Returns what is wrong with a value by a schema; undefined if nothing is. */
type Validate = (schema: Json, value: unknown) => string | undefined

function createValidator(schemas: Json): Validate {
  // Ajv rejects unknown keywords and formats, so all of the document is checked.
  const ajv = new Ajv2020({ allowUnionTypes: true })
  ajv.addVocabulary(['example'])
  ajv.addFormat('uuid', /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/)
  ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  ajv.addFormat('email', /^[^@\s]+@[^@\s]+$/)
  ajv.addFormat('password', true)
  ajv.addFormat('int32', true)
  ajv.addFormat('uri', /^https?:\/\/[^\s]+$/)
  const withLocalReferences = (schema: Json) =>
    JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', ''))
  for (const [name, schema] of Object.entries<Json>(schemas)) ajv.addSchema(withLocalReferences(schema), name)
  const compiled = new Map<Json, ValidateFunction>()
  return (schema, value) => {
    const validate = compiled.get(schema) ?? ajv.compile(withLocalReferences(schema))
    compiled.set(schema, validate)
    return validate(value) ? undefined : ajv.errorsText(validate.errors)
  }
}

/** Checks what holds for every response. */
function generalViolations({ status, headers, text }: ReceivedResponse): string[] {
  const wrong: string[] = []
  const claim = (holds: unknown, violation: string) => holds || wrong.push(violation)
  const id = headers.get('X-Request-Id') ?? ''
  claim(/^[\w=-]{1,255}$/.test(id), `X-Request-Id is ${id}`)
  claim(headers.get('X-Content-Type-Options') === 'nosniff', 'no nosniff')
  // default-src covers all directives but the other two (ASVS 5.0, 3.4.3 and 3.4.6).
  for (const directive of ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"]) {
    claim(headers.get('Content-Security-Policy')?.includes(directive), `its policy has no ${directive}`)
  }
  claim(headers.get('Strict-Transport-Security') === null, 'HSTS over HTTP')
  claim(headers.get('Referrer-Policy') === 'no-referrer', 'no Referrer-Policy')
  claim(headers.get('Set-Cookie') === null, 'sets a cookie')
  claim(status < 500, 'a server error')
  claim(!LEAKS.test(text), 'reveals how the server is built')
  // An even number of backslashes before it would be a literal backslash and six letters.
  claim(!/(?<!\\)(\\\\)*\\ud[89a-f]/i.test(text), 'has a lone surrogate')
  if (status === 429 || status === 503) claim(/^[1-9]\d*$/.test(headers.get('Retry-After') ?? ''), 'no Retry-After')
  return wrong
}

/** Returns why a request breaks the document and must not succeed. */
function reasonsToReject(operation: Operation, { url, headers, body }: SentRequest, validate: Validate): string[] {
  const { declared, method, body: schema } = operation
  const reasons: string[] = []
  const { search, searchParams } = new URL(url, 'http://localhost')
  for (const name of new Set(searchParams.keys())) {
    const parameter = declared.parameters?.find((one: Json) => one.in === 'query' && one.name === name)
    const values = searchParams.getAll(name)
    if (!parameter) reasons.push('a parameter is unknown')
    else if (parameter.schema.type !== 'array' && values.length > 1) reasons.push('a parameter is repeated')
    else if (values.length === 1 && parameter.schema.enum && !parameter.schema.enum.includes(values[0]))
      reasons.push(`${name} is not one of its values`)
  }
  if (/%(?![0-9a-f]{2})/i.test(search)) reasons.push('an escape is broken')
  if (method === 'GET') return reasons
  if (!body) return schema ? [...reasons, 'it has no body'] : reasons
  const type = headers.find(([name]) => name === 'Content-Type')?.[1] ?? ''
  const mediaType = method === 'PATCH' ? /^application\/(merge-patch\+)?json *(?=;|$)/i : /^application\/json *(?=;|$)/i
  if (body.length > 0 && !/^(; *(charset=(utf-?8|"utf-?8"))? *)*$/i.test(type.replace(mediaType, '')))
    reasons.push(`its body is ${type}`)
  if (body.length > 262_144) reasons.push('its body is too large')
  const value = parseJson(body)
  const error = schema ? validate(schema, value) : body.length > 0 && JSON.stringify(value) !== '{}' && 'it takes none'
  if (error) reasons.push(`its body is wrong: ${error}`)
  return reasons
}
