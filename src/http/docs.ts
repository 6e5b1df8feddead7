import { SwaggerUI } from '@hono/swagger-ui'
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Env } from '../services.ts'
import { type Info, type Tag, writeDocument } from './openapi.ts'
import { baseUrl, publicPath } from './origin.ts'

const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/**
 * Adds `openapi.json`, which describes all routes registered so far, and the Swagger UI page. Returns a function that writes
 * the document for a server's URL.
 */
export function serveDocs(app: OpenAPIHono<Env>, info: Info, tags: Tag[]): (url: string) => string {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description:
      'Paste the `token` of the login response, without `Bearer`. Programs send `Authorization: Bearer <token>`, or `Authorization: Token <token>` as clients of Django REST Framework do.',
  })
  let written: ReturnType<typeof writeDocument> | undefined
  const documentFor = (url: string) => {
    written ??= writeDocument(app, info, tags)
    return written(url)
  }
  app.get('/openapi.json', (c) => c.body(documentFor(baseUrl(c)), 200, { 'Content-Type': 'application/json' }))
  // A relative URL keeps the path prefix of a proxy.
  app.get('/', (c) => c.redirect(c.env.settings.PUBLIC_URL ? publicPath(c, '/docs/') : 'docs/'))
  app.get('/docs', (c) => {
    c.header('Content-Security-Policy', PAGE_POLICY)
    c.header('Cache-Control', 'no-cache')
    // Not `c.req.path`, which has no slash at its end.
    return c.html(page(new URL(c.req.url).pathname.endsWith('/') ? '' : 'docs/'))
  })
  app.get('/docs/init.js', (c) =>
    c.body(INIT, 200, { 'Content-Type': 'text/javascript; charset=utf-8', 'Cache-Control': 'no-cache' }),
  )
  serveAsset(app, 'swagger-ui.css', 'text/css')
  serveAsset(app, 'swagger-ui-bundle.js', 'text/javascript')
  return documentFor
}

function serveAsset(app: OpenAPIHono<Env>, file: 'swagger-ui.css' | 'swagger-ui-bundle.js', type: string) {
  app.get(`/docs/${file}`, async (c) => {
    const { body } = await c.env.asset(file)
    const headers = { 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'public, max-age=86400' }
    return c.body(body as ReadableStream, 200, headers)
  })
}

// The default page of the package loads its files from a CDN and starts them with an inline script. The URLs of this one are
// relative, so that it works below any path prefix.
const page = (folder: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Docket API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${folder}swagger-ui.css">
</head>
<body>
${SwaggerUI({
  url: '../openapi.json',
  manuallySwaggerUIHtml: () => `<div id="swagger-ui"></div>
<script src="${folder}swagger-ui-bundle.js"></script>
<script src="${folder}init.js"></script>`,
})}
</body>
</html>
`

// Swagger UI would show the source of an SVG response; the plugin shows the picture. The page calls the server that it was
// loaded from, below the same path prefix, as its security policy demands; the document may name another URL.
const INIT = `const base = new URL('..', document.currentScript.src).href

const useThisServer = (response) => {
  if (response.ok && response.url === base + 'openapi.json') {
    response.text = JSON.stringify({ ...JSON.parse(response.text), servers: [{ url: base.slice(0, -1) }] })
  }
  return response
}

const showPictures = ({ React }) => ({
  wrapComponents: {
    responseBody: (Original) => (props) =>
      (props.contentType ?? '').startsWith('image/svg+xml')
        ? React.createElement('img', { src: 'data:image/svg+xml,' + encodeURIComponent(props.content), alt: 'The report', width: '100%' })
        : React.createElement(Original, props),
  },
})

window.ui = SwaggerUIBundle({
  url: base + 'openapi.json',
  responseInterceptor: useThisServer,
  dom_id: '#swagger-ui',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  plugins: [showPictures],
})
`
