import { cp, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { migrationsFolder, swaggerFile } from './src/files.ts'

/**
 * Bundles the server for Node into a folder, with the files that it reads at run time. `node.js` there takes the same
 * arguments as `src/node.ts`, and starts in a quarter of its CPU time. The folder needs no `node_modules`, except for the
 * embedded PostgreSQL and for `wrangler`.
 */
async function buildServer(folder: string) {
  await rm(folder, { recursive: true, force: true })
  await build({
    entryPoints: [fileURLToPath(new URL('src/node.ts', import.meta.url))],
    outdir: folder,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22.18',
    // Modules that are imported when needed stay apart, so that other commands do not load them.
    splitting: true,
    sourcemap: true,
    legalComments: 'linked',
    logLevel: 'warning',
    define: { IS_BUNDLE: 'true' },
    // Packages in CommonJS require Node's modules.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
  await cp(migrationsFolder, `${folder}/drizzle`, { recursive: true })
  for (const name of ['swagger-ui.css', 'swagger-ui-bundle.js']) {
    await cp(swaggerFile(name), `${folder}/swagger-ui/${name}`)
  }
}

const [, , folder = 'dist'] = process.argv
await buildServer(folder)
