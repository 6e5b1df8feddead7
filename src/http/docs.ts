import type { OpenAPIHono } from '@hono/zod-openapi'
import { encodeBase64urlNoPadding } from '@oslojs/encoding'
import manifest from '../../package.json' with { type: 'json' }
import { sha256 } from '../crypto.ts'
import type { Env, RequestContext, StaticFile } from '../services.ts'
import { DOCS_SCRIPT, DOCS_STYLE, docsPage } from './docs-page.ts'
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
  const documentFor = (url: string, title = info.title) => {
    written ??= writeDocument(app, info, tags)
    return written(url, title)
  }
  const swagger = manifest.dependencies['swagger-ui-dist']
  const script = textFile('text/javascript', DOCS_SCRIPT)
  const style = textFile('text/css', DOCS_STYLE)
  const versions = { swagger, script: script.version, style: style.version }

  // Hashing the text takes a millisecond, and most requests name the same URL.
  let latest: { url: string; file: StaticFile } | undefined
  app.get('/openapi.json', (c) => {
    const url = baseUrl(c)
    if (latest?.url !== url)
      latest = { url, file: textFile('application/json', documentFor(url, c.env.settings.SERVICE_NAME)) }
    return sendFile(c, latest.file)
  })
  // A relative URL keeps the path prefix of a proxy.
  app.get('/', (c) => c.redirect(c.env.settings.PUBLIC_URL ? publicPath(c, '/docs/') : 'docs/'))
  app.get('/docs', (c) => {
    c.header('Content-Security-Policy', PAGE_POLICY)
    // Not `c.req.path`, which has no slash at its end.
    const folder = new URL(c.req.url).pathname.endsWith('/') ? '' : 'docs/'
    return sendFile(c, textFile('text/html', docsPage(folder, versions)))
  })
  app.get('/docs/init.js', (c) => sendFile(c, script))
  app.get('/docs/docs.css', (c) => sendFile(c, style))
  for (const [name, type] of [
    ['swagger-ui.css', 'text/css'],
    ['swagger-ui-bundle.js', 'text/javascript'],
  ] as const) {
    app.get(`/docs/${name}`, (c) => sendFile(c, { type, version: swagger, read: () => c.env.asset(name) }))
  }
  return documentFor
}

/** Returns a file whose version is the hash of its text. */
function textFile(type: string, text: string): StaticFile {
  const version = encodeBase64urlNoPadding(sha256(text)).slice(0, 16)
  return { type, version, read: async () => new TextEncoder().encode(text) }
}

/**
 * Sends a file, or 304 if the client has it. A URL that names its version can be cached forever (RFC 8246). Any other one has
 * to be revalidated. The entity tag is weak, because the file has several encodings.
 */
async function sendFile(c: RequestContext, file: StaticFile): Promise<Response> {
  const isVersioned = c.req.query('v') === file.version
  c.header('Cache-Control', isVersioned ? 'public, max-age=31536000, immutable' : 'no-cache')
  c.header('ETag', `W/"${file.version}"`)
  c.header('Vary', 'Accept-Encoding', { append: true })
  if (hasVersion(c.req.header('If-None-Match') ?? '', file.version)) return c.body(null, 304)
  const { body, encoding } = await c.env.encode(file, c.req.header('Accept-Encoding') ?? '')
  c.header('Content-Type', file.type === 'application/json' ? file.type : `${file.type}; charset=utf-8`)
  if (encoding) c.header('Content-Encoding', encoding)
  return c.body(body)
}

/** Tells whether an If-None-Match header names a version, by the weak comparison of RFC 9110 (8.8.3.2). */
const hasVersion = (header: string, version: string) =>
  header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === `"${version}"`)
