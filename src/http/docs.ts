import { SwaggerUI } from '@hono/swagger-ui'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Env } from '../services.ts'
import { writeDocument } from './openapi.ts'

const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Adds `openapi.json`, which describes all routes registered so far, and the Swagger UI page. */
export function serveDocs(app: OpenAPIHono<Env>, info: { version: string; description: string }) {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description: 'The `token` of the login response.',
  })
  let document: string | undefined
  app.get('/openapi.json', (c) => {
    document ??= writeDocument(app, info)
    return c.body(document, 200, { 'Content-Type': 'application/json' })
  })
  app.get('/', (c) => c.redirect('/docs/'))
  app.get('/docs', (c) => {
    c.header('Content-Security-Policy', PAGE_POLICY)
    c.header('Cache-Control', 'no-cache')
    return c.html(PAGE)
  })
  app.get('/docs/init.js', (c) =>
    c.body(INIT, 200, { 'Content-Type': 'text/javascript; charset=utf-8', 'Cache-Control': 'no-cache' }),
  )
  serveAsset(app, 'swagger-ui.css', 'text/css')
  serveAsset(app, 'swagger-ui-bundle.js', 'text/javascript')
}

function serveAsset(app: OpenAPIHono<Env>, file: 'swagger-ui.css' | 'swagger-ui-bundle.js', type: string) {
  app.get(`/docs/${file}`, async (c) => {
    const { body } = await c.env.asset(file)
    const headers = { 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'public, max-age=86400' }
    return c.body(body as ReadableStream, 200, headers)
  })
}

// The default page of the package loads its files from a CDN and starts them with an inline script.
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

// Swagger UI would show the source of an SVG response; the plugin shows the picture.
const INIT = `const showPictures = ({ React }) => ({
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
  plugins: [showPictures],
})
`
