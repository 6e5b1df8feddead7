import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Env } from '../services.ts'

/**
 * Writes the OpenAPI document of all routes that were registered so far. Returns a function that adds the URL of the server,
 * which depends on the request, to the finished text.
 */
export function writeDocument(app: OpenAPIHono<Env>, info: { version: string; description: string }) {
  const { openapi, ...document } = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'Docket', ...info } })
  const paths = Object.entries(document.paths ?? {}).map(([path, item]) => [publishedPath(path), item])
  const text = JSON.stringify(withExamples({ ...document, paths: Object.fromEntries(paths) }))
  return (url: string) => `{"openapi":"${openapi}","servers":${JSON.stringify([{ url }])},${text.slice(1)}`
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
  enum?: unknown[]
} & Record<string, unknown>
type Message = { content?: Record<string, { schema?: Schema; example?: unknown }> }
type Parameter = { required?: boolean; description?: string; schema: Schema }
type Operation = { parameters?: Parameter[]; requestBody?: Message; responses: Record<string, Message> }
type Document = {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

/** Adds an example to each JSON body, composed from the examples of its fields. */
function withExamples<D extends object>(document: D): D {
  const { paths, components } = document as unknown as Document
  for (const operation of Object.values(paths).flatMap((item) => Object.values(item))) {
    for (const parameter of operation.parameters ?? []) if (!parameter.required) describeExample(parameter)
    for (const message of [operation.requestBody, ...Object.values(operation.responses)]) {
      const media = message?.content?.['application/json']
      if (media?.schema) media.example = exampleOf(media.schema, components.schemas)
    }
  }
  return document
}

function exampleOf(schema: Schema, components: Record<string, Schema>): unknown {
  if (schema.$ref) return exampleOf(components[schema.$ref.split('/').at(-1) as string] as Schema, components)
  if (schema.example !== undefined) return schema.example
  if (schema.items) return [exampleOf(schema.items, components)]
  if (!schema.properties) return schema.const ?? schema.enum?.[0] ?? (schema.type === 'boolean' ? true : undefined)
  const fields = Object.entries(schema.properties).map(([name, field]) => [name, exampleOf(field, components)])
  return Object.fromEntries(fields)
}

/** Moves the example of an optional parameter to its description: Swagger UI would send the examples of all at once. */
function describeExample(parameter: Parameter) {
  const { example } = parameter.schema
  if (example === undefined) return
  const sentence = `For example \`${Array.isArray(example) ? example.join(',') : example}\`.`
  parameter.description = [parameter.description, sentence].filter(Boolean).join(' ')
  delete parameter.schema.example
}
