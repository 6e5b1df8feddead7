import { SwaggerUI } from '@hono/swagger-ui'

// The default page of the package loads its files from a CDN and starts them with an inline script.

/** Returns the page. Its URLs are relative, so that it works below any path prefix. `versions` are those of its files. */
export const docsPage = (folder: string, versions: Record<'swagger' | 'script' | 'style', string>) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Docket API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${folder}swagger-ui.css?v=${versions.swagger}">
<link rel="stylesheet" href="${folder}docs.css?v=${versions.style}">
</head>
<body>
${SwaggerUI({
  url: '../openapi.json',
  manuallySwaggerUIHtml: () => `<div id="swagger-ui"></div>
<script src="${folder}swagger-ui-bundle.js?v=${versions.swagger}"></script>
<script src="${folder}init.js?v=${versions.script}"></script>`,
})}
</body>
</html>
`

/**
 * The script of the page. Swagger UI would show the source of an SVG response; the plugin shows the picture. The page calls
 * the server that it was loaded from, below the same path prefix, as its security policy demands; the document may name
 * another URL.
 */
export const DOCS_SCRIPT = `const base = new URL('..', document.currentScript.src).href

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

const dark = matchMedia('(prefers-color-scheme: dark)')
const followColorScheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', followColorScheme)
followColorScheme()

window.ui = SwaggerUIBundle({
  url: base + 'openapi.json',
  responseInterceptor: useThisServer,
  dom_id: '#swagger-ui',
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  plugins: [showPictures],
})
`

/** The style of the page, beside that of Swagger UI. */
export const DOCS_STYLE = `body { margin: 0 }
/* No response declares links. */
.swagger-ui .response-col_links { display: none }
html.dark-mode body { background: #1c2022 }
.swagger-ui .info { margin: 32px 0 }
.swagger-ui .info li { line-height: 1.5 }
.swagger-ui .info table tbody tr td, .swagger-ui .info table tbody tr td:first-of-type { min-width: 0; padding: 2px 16px 2px 0; vertical-align: baseline }
.swagger-ui .info table thead tr th { padding: 2px 16px 2px 0 }
@media (max-width: 640px) {
  .swagger-ui .wrapper, .swagger-ui .scheme-container .schemes { padding: 0 12px }
  .swagger-ui .info ol { padding-left: 20px }
  .swagger-ui .opblock .opblock-summary { flex-wrap: wrap }
  .swagger-ui .opblock-summary-path { max-width: 100% }
  .swagger-ui .parameters-col_name { min-width: 0 }
}
`
