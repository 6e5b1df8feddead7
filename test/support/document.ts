import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import type { Json } from './fixtures.ts'

/** An operation of the document, with what is declared of it. */
export type Operation = { id: string; method: string; path: string; declared: Json; body?: Json; isSecured: boolean }
export type Asked = { method: string; url: string; headers: [string, string][]; body: Uint8Array | undefined }
export type Answered = { status: number; headers: Headers; text: string }

/** What would tell what the server is made of. */
const LEAKS =
  /PostgresError|Drizzle|SQLSTATE|violates|syntax error at|Failed query|node_modules|file:\/\/|\n\s+at \S|ECONN/

/** What a body says to whoever goes by the contract; undefined where it is no JSON in UTF-8. */
export function readJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

/**
 * A judge of answers, who knows the published document alone: no schema of the app's own, so that a document that says
 * something else than the app does is found as well.
 */
export function readDocument(document: Json) {
  const operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, declared]): Operation => {
      const body = declared.requestBody?.content['application/json'].schema
      const isSecured = (declared.security ?? []).length > 0
      return { id: declared.operationId, method: method.toUpperCase(), path, declared, body, isSecured }
    }),
  )

  // A keyword or a format that it does not know is an error, so nothing of the document goes unchecked.
  const ajv = new Ajv2020({ allowUnionTypes: true })
  ajv.addVocabulary(['example'])
  ajv.addFormat('uuid', /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/)
  ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  ajv.addFormat('email', /^[^@\s]+@[^@\s]+$/)
  ajv.addFormat('password', true)
  const local = (schema: Json) => JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', ''))
  for (const [name, schema] of Object.entries<Json>(document.components.schemas)) ajv.addSchema(local(schema), name)
  const compiled = new Map<Json, ValidateFunction>()

  /** What is wrong with a value by a schema; undefined when nothing is. */
  function fault(schema: Json, value: unknown): string | undefined {
    const validate = compiled.get(schema) ?? ajv.compile(local(schema))
    compiled.set(schema, validate)
    return validate(value) ? undefined : ajv.errorsText(validate.errors)
  }

  const patterns = operations.map(
    (one) => new RegExp(`^${one.path.replace(/\/$/, '').replace(/\{\w+\}/g, '[^/]+')}/?$`, 's'),
  )

  /** The operations of the path of a URL. */
  function operationsAt(url: string): Operation[] {
    const { pathname } = new URL(url, 'http://localhost')
    const path = pathname.replace(/%[0-7][0-9a-f]/gi, (one) => (/%2f/i.test(one) ? one : decodeURIComponent(one)))
    const matching = operations.filter((_, index) => patterns[index]?.test(path))
    // A path without a template goes first (OpenAPI 3.1, 4.8.8.2).
    const literal = matching.filter((one) => !one.path.includes('{'))
    return literal.length > 0 ? literal : matching
  }

  /** The operation that a request is for; undefined where the document has none. */
  function operationOf({ method, url }: Asked): Operation | undefined {
    const meant = method === 'HEAD' ? 'GET' : method
    return operationsAt(url).find((one) => one.method === meant)
  }

  /** Why a request breaks the document, so that it must not succeed. */
  function reasonsToRefuse({ declared, method, body: schema }: Operation, { url, headers, body }: Asked): string[] {
    const reasons: string[] = []
    const { search, searchParams } = new URL(url, 'http://localhost')
    const names = [...searchParams.keys()]
    for (const name of new Set(names)) {
      const parameter = declared.parameters?.find((one: Json) => one.in === 'query' && one.name === name)
      const times = names.filter((one) => one === name).length
      if (!parameter) reasons.push('a parameter is unknown')
      else if (parameter.schema.type !== 'array' && times > 1) reasons.push('a parameter is given twice')
      else if (times === 1 && parameter.schema.enum && !parameter.schema.enum.includes(searchParams.get(name)))
        reasons.push(`${name} is none of its values`)
    }
    if (/%(?![0-9a-f]{2})/i.test(search)) reasons.push('an escape is broken')
    if (method === 'GET' || !body) return schema && method !== 'GET' ? [...reasons, 'it has no body'] : reasons
    const type = headers.find(([name]) => name === 'Content-Type')?.[1] ?? ''
    if (body.length > 0 && !/^application\/json *(; *charset="?utf-8"? *)?$/i.test(type))
      reasons.push(`its body is ${type}`)
    if (body.length > 262_144) reasons.push('its body is too large')
    const value = readJson(body)
    const wrong = schema ? fault(schema, value) : body.length > 0 && JSON.stringify(value) !== '{}' && 'it takes none'
    if (wrong) reasons.push(`of its body: ${wrong}`)
    return reasons
  }

  /** All that is wrong with an answer. */
  function faults(asked: Asked, isAuthorized: boolean, { status, headers, text }: Answered): string[] {
    const wrong: string[] = []
    const claim = (holds: unknown, what: string) => holds || wrong.push(what)
    const operation = operationOf(asked)
    const isHead = asked.method === 'HEAD'
    const type = headers.get('Content-Type')?.split(';')[0] ?? ''
    const value = /json$/.test(type) ? readJson(new TextEncoder().encode(text)) : text

    const id = headers.get('X-Request-Id') ?? ''
    claim(/^[\w=-]{1,255}$/.test(id), `X-Request-Id is ${id}`)
    claim(headers.get('X-Content-Type-Options') === 'nosniff', 'no nosniff')
    // The first one covers all but the other two (ASVS 5.0, 3.4.3 and 3.4.6).
    for (const directive of ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"]) {
      claim(headers.get('Content-Security-Policy')?.includes(directive), `its policy has no ${directive}`)
    }
    claim(headers.get('Strict-Transport-Security'), 'no HSTS')
    claim(headers.get('Referrer-Policy') === 'no-referrer', 'no Referrer-Policy')
    claim(headers.get('Set-Cookie') === null, 'sets a cookie')
    claim(status < 500, 'an error of the server')
    claim(!LEAKS.test(text), 'tells what it is made of')
    // With another backslash before it, it would be a text of six letters.
    claim(!/(?<!\\)(\\\\)*\\ud[89a-f]/i.test(text), 'holds a lone surrogate')

    if (status >= 400 && !isHead) {
      claim(type === 'application/problem+json', `${status} is ${type}`)
      claim(!fault(document.components.schemas.Problem, value), `${status} is no problem`)
      const problem = value as Json | undefined
      claim(problem?.request_id === id && problem?.status === status, 'has another id or status in its body')
    }
    if (status === 429 || status === 503) claim(/^[1-9]\d*$/.test(headers.get('Retry-After') ?? ''), 'no Retry-After')

    if (!operation) {
      const others = operationsAt(asked.url).map(({ method }) => method)
      const allowed = headers.get('Allow')?.split(', ') ?? []
      if (others.length > 0)
        claim(status === 405 && others.every((one) => allowed.includes(one)), `another method is ${status}`)
      else claim(status === 404 || !/^\/(a|healthz|readyz)/.test(asked.url), `an unknown path is ${status}`)
      return wrong
    }
    claim(/^no-store(, no-transform)?$/.test(headers.get('Cache-Control') ?? ''), 'may be stored')
    if (operation.isSecured && !isAuthorized) claim(status === 401, `without a token it is ${status}`)
    const declared = operation.declared.responses[status]
    claim(declared, `${status} is not documented`)
    for (const [name, header] of Object.entries<Json>(declared?.headers ?? {})) {
      claim(!header.required || headers.get(name), `${status} has no ${name}`)
    }
    if (isHead || !declared?.content) claim(text === '', `${status} has a body`)
    else {
      const media = declared.content[type]
      const why = media ? fault(media.schema, value) : 'its type is not documented'
      claim(!why, `${status} as ${type} is not as documented: ${why}`)
    }
    if (status < 400) wrong.push(...reasonsToRefuse(operation, asked).map((reason) => `${status}, though ${reason}`))
    return wrong
  }

  return { operations, operationOf, faults }
}
