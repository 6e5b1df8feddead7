import { SwaggerUI } from '@hono/swagger-ui'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Env } from '../services.ts'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Swagger UI would show a picture's source: an answer in SVG is shown as what it is.
const START = `const pictures = ({ React }) => ({
  wrapComponents: {
    responseBody: (Original) => (props) =>
      (props.contentType ?? '').startsWith('image/svg+xml')
        ? React.createElement('img', { src: 'data:image/svg+xml,' + encodeURIComponent(props.content), alt: 'The report', width: '100%' })
        : React.createElement(Original, props),
  },
})

window.ui = SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  plugins: [pictures],
})
`

// Written out, since the package's own page asks a CDN for its files and starts them inline.
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Docket API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
${SwaggerUI({
  url: '/openapi.json',
  manuallySwaggerUIHtml: () => `<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/init.js"></script>`,
})}
</body>
</html>
`

// Probes are asked for by name; everything else is published with the slash that the contract gives it.
const published = (path: string) => (/^\/(healthz|readyz)$/.test(path) ? path : `${path}/`)

/** Adds the OpenAPI document of all routes registered so far, and its Swagger page, whose files the entry point serves. */
export function serveDocument(app: OpenAPIHono<Env>, info: { version: string; description: string }) {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description: 'The `token` that login answered.',
  })
  let document: string | undefined
  const write = () => {
    const built = app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'Docket', ...info } })
    const paths = Object.entries(built.paths ?? {}).map(([path, item]) => [published(path), item])
    return JSON.stringify(withExamples({ ...built, paths: Object.fromEntries(paths) }))
  }
  app.get('/openapi.json', (c) => {
    document ??= write()
    return c.body(document, 200, { 'Content-Type': 'application/json' })
  })
  app.get('/', (c) => c.redirect('/docs/'))
  app.get('/docs', (c) => {
    c.header('Content-Security-Policy', POLICY)
    c.header('Cache-Control', 'no-cache')
    return c.html(PAGE)
  })
  for (const [file, type] of [
    ['swagger-ui.css', 'text/css'],
    ['swagger-ui-bundle.js', 'text/javascript'],
  ] as const) {
    app.get(`/docs/${file}`, async (c) => {
      const { body } = await c.env.asset(file)
      const headers = { 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'public, max-age=86400' }
      return c.body(body as ReadableStream, 200, headers)
    })
  }
  app.get('/docs/init.js', (c) =>
    c.body(START, 200, { 'Content-Type': 'text/javascript; charset=utf-8', 'Cache-Control': 'no-cache' }),
  )
}

type Schema = {
  $ref?: string
  type?: string
  example?: unknown
  properties?: Record<string, Schema>
  items?: Schema
  enum?: unknown[]
} & Record<string, unknown>
type Media = { schema?: Schema; example?: unknown }
type Described = { content?: Record<string, Media> }
type Parameter = { required?: boolean; description?: string; example?: unknown; schema: Schema }
type Operation = { parameters?: Parameter[]; requestBody?: Described; responses: Record<string, Described> }

/** Gives each JSON body of a document an example, put together from those of its parts. */
function withExamples<D extends object>(document: D): D {
  const { paths, components } = document as unknown as {
    paths: Record<string, Record<string, Operation>>
    components: { schemas: Record<string, Schema> }
  }
  const exampleOf = (schema: Schema): unknown => {
    if (schema.$ref) return exampleOf(components.schemas[schema.$ref.split('/').at(-1) as string] as Schema)
    if (schema.example !== undefined) return schema.example
    if (schema.items) return [exampleOf(schema.items)]
    if (!schema.properties) return schema.const ?? schema.enum?.[0] ?? (schema.type === 'boolean' ? true : undefined)
    return Object.fromEntries(Object.entries(schema.properties).map(([name, part]) => [name, exampleOf(part)]))
  }
  for (const operation of Object.values(paths).flatMap((item) => Object.values(item))) {
    for (const parameter of operation.parameters ?? []) if (!parameter.required) tellExample(parameter)
    for (const described of [operation.requestBody, ...Object.values(operation.responses)]) {
      const media = described?.content?.['application/json']
      if (media?.schema) media.example = exampleOf(media.schema)
    }
  }
  return document
}

/** Tells in words what an optional parameter may look like: Swagger UI would send each example, all of them at once. */
function tellExample(parameter: Parameter) {
  const { example } = parameter.schema
  if (example === undefined) return
  const told = `For example \`${Array.isArray(example) ? example.join(',') : example}\`.`
  parameter.description = [parameter.description, told].filter(Boolean).join(' ')
  delete parameter.schema.example
}
