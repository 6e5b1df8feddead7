import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Env } from '../services.ts'
import { exampleOfProblem, Problem } from './problem.ts'

/** The parts of the document that no route declares. */
export type Info = {
  title: string
  version: string
  description: string
  license: { name: string; identifier: string }
  contact: { name: string }
}

export type Tag = { name: string; description: string }

/**
 * Writes the OpenAPI document of all routes that were registered so far. Returns a function that adds the URL of the server,
 * which depends on the request, to the finished text.
 */
export function writeDocument(app: OpenAPIHono<Env>, info: Info, tags: Tag[]) {
  const { openapi, info: _, ...generated } = app.getOpenAPI31Document({ openapi: '3.1.0', info, tags })
  const paths = Object.entries(generated.paths ?? {}).map(([path, item]) => [publishedPath(path), item])
  const document = { ...generated, paths: Object.fromEntries(paths) } as unknown as Document
  mergeDefaults(document)
  addExamples(document)
  openResponses(document)
  shareResponses(document)
  const text = JSON.stringify(document)
  return (url: string, title: string) => {
    const start = JSON.stringify({ openapi, info: { ...info, title }, servers: [{ url }] })
    return `${start.slice(0, -1)},${text.slice(1)}`
  }
}

// Routes are declared without the slash, so that both forms match. The published form has it, except for the
// health endpoints.
const publishedPath = (path: string) => (/^\/(healthz|readyz)$/.test(path) ? path : `${path}/`)

type Schema = {
  $ref?: string
  type?: string
  example?: unknown
  properties?: Record<string, Schema>
  items?: Schema
  anyOf?: Schema[]
  enum?: unknown[]
} & Record<string, unknown>
type Header = { description?: string; $ref?: string }
type Message = { content?: Record<string, { schema?: Schema; example?: unknown }> }
type Response = Message & { description?: string; headers?: Record<string, Header>; $ref?: string }
type Parameter = { required?: boolean; description?: string; schema: Schema }
type Operation = { parameters?: Parameter[]; requestBody?: Message; responses: Record<string, Response> }
type Document = {
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, Schema>
    responses?: Record<string, Response>
    headers?: Record<string, Header>
  }
}

const operationsOf = ({ paths }: Document) => Object.values(paths).flatMap((item) => Object.values(item))

/** Writes each default beside its `$ref`, as OpenAPI 3.1 allows: some generators of clients refuse an `allOf` of an enum. */
function mergeDefaults(value: object) {
  for (const [key, part] of Object.entries(value)) {
    if (typeof part !== 'object' || part === null) continue
    const [reference, annotation] = part.allOf ?? []
    if (reference?.$ref && annotation?.default !== undefined) Reflect.set(value, key, { ...reference, ...annotation })
    else mergeDefaults(part)
  }
}

/** Adds an example to each JSON body that has none, composed from the examples of its fields. */
function addExamples(document: Document) {
  for (const { parameters = [], requestBody, responses } of operationsOf(document)) {
    for (const parameter of parameters) if (!parameter.required) describeExample(parameter)
    for (const message of [requestBody, ...Object.values(responses)]) {
      for (const [type, media] of Object.entries(message?.content ?? {})) {
        if (/^application\/(merge-patch\+)?json$/.test(type) && media.schema) {
          media.example ??= exampleOf(media.schema, document.components.schemas)
        }
      }
    }
  }
}

function exampleOf(schema: Schema, components: Record<string, Schema>): unknown {
  if (schema.$ref) return exampleOf(components[nameIn(schema.$ref)] as Schema, components)
  if (schema.example !== undefined) return schema.example
  if (schema.anyOf?.[0]) return exampleOf(schema.anyOf[0], components)
  if (schema.items) return [exampleOf(schema.items, components)]
  if (!schema.properties) return schema.const ?? schema.enum?.[0] ?? (schema.type === 'boolean' ? true : undefined)
  const fields = Object.entries(schema.properties)
    .filter(([, field]) => !field.readOnly)
    .map(([name, field]) => [name, exampleOf(field, components)])
  return Object.fromEntries(fields)
}

const nameIn = (reference: string) => reference.split('/').at(-1) as string

/** Moves the example of an optional parameter to its description: Swagger UI would send the examples of all at once. */
function describeExample(parameter: Parameter) {
  const { example } = parameter.schema
  if (example === undefined) return
  const sentence = `For example \`${Array.isArray(example) ? example.join(',') : example}\`.`
  parameter.description = [parameter.description, sentence].filter(Boolean).join(' ')
  delete parameter.schema.example
}

/**
 * Allows additional properties in the schemas of responses, so that a field that is added later breaks no client. The code
 * keeps its strict schemas, by which the tests find a field that leaks.
 */
function openResponses({ paths, components }: Document) {
  const bodies = Object.values(paths).flatMap((item) => Object.values(item).map(({ requestBody }) => requestBody))
  const names = new Set<string>()
  const collect = (text: string) => {
    for (const [, name = ''] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      if (names.has(name)) continue
      names.add(name)
      collect(JSON.stringify(components.schemas[name]))
    }
  }
  collect(JSON.stringify(bodies))
  for (const [name, schema] of Object.entries(components.schemas)) if (!names.has(name)) openSchema(schema)
}

function openSchema(schema: object) {
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'additionalProperties' && value === false) Reflect.deleteProperty(schema, key)
    else if (typeof value === 'object' && value !== null) openSchema(value)
  }
}

/** The responses with which the HTTP parser of Node rejects a request before the app sees it. */
const parserResponses = {
  408: ['RequestTimeout', 'The request arrived too slowly.'],
  417: ['ExpectationFailed', 'The value of `Expect` is not supported.'],
  431: ['HeadersTooLarge', 'The headers, with the path and the query, exceed 16 KiB.'],
} as const

function parserResponse(status: number, description: string): Response {
  const problem = new Problem('malformed_request', { status: status as 408, detail: description })
  const schema = { $ref: '#/components/schemas/Problem' }
  return {
    description: `\`malformed_request\`: ${description} Node's HTTP parser answers this. On Workers, Cloudflare has limits of its own.`,
    content: { 'application/problem+json': { schema, example: exampleOfProblem(problem) } },
  }
}

/** Moves what many responses have in common to the components: problems by their codes, and the header with the request id. */
function shareResponses(document: Document) {
  const { components } = document
  const responses: Record<string, Response> = {}
  const headers: Record<string, Header> = {}
  for (const operation of operationsOf(document)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const id = response.headers?.['X-Request-Id']
      if (id) {
        headers['X-Request-Id'] = { ...id }
        Object.assign(response.headers ?? {}, { 'X-Request-Id': { $ref: '#/components/headers/X-Request-Id' } })
      }
      if (Number(status) < 400) continue
      const name = componentName(response)
      responses[name] = response
      operation.responses[status] = { $ref: `#/components/responses/${name}` }
    }
    for (const [status, [name, description]] of Object.entries(parserResponses)) {
      responses[name] = parserResponse(Number(status), description)
      operation.responses[status] = { $ref: `#/components/responses/${name}` }
    }
  }
  Object.assign(components, { responses, headers })
}

/** Returns a name made of the codes of a problem response, such as `BadRequestOrWeakPassword`. */
const componentName = ({ description = '' }: Response) =>
  [...description.matchAll(/`(\w+)`:/g)]
    .map(([, code = '']) => pascalCase(code))
    .join('Or')
    .replace('MalformedRequestOrInvalidRequest', 'BadRequest')

const pascalCase = (code: string) =>
  code
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('')
