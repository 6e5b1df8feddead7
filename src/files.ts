import { fileURLToPath } from 'node:url'

/** True in the bundle that `npm run build` writes. */
declare const IS_BUNDLE: boolean | undefined

const isBundle = typeof IS_BUNDLE !== 'undefined'

/** The folder of the SQL migrations. The bundle has a copy. */
export const migrationsFolder = fileURLToPath(new URL(isBundle ? 'drizzle' : '../drizzle', import.meta.url))

/** Returns where a file of Swagger UI is. The bundle has a copy of the two that are served. */
export const swaggerFile = (name: string) =>
  new URL(isBundle ? `swagger-ui/${name}` : import.meta.resolve(`swagger-ui-dist/${name}`), import.meta.url)
