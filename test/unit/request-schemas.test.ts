import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ZodType, z } from 'zod'
import { app, writeOpenApi } from '../../src/app.ts'
import type { Json } from '../support/fixtures.ts'

/** Errors by rules that a schema cannot express; docs/api.md lists them. */
const RULES = [
  'Must have a visible character',
  'Must not repeat a field',
  'Must be at most 10 terms',
  'Must be the IANA name of a time zone',
]

/** Texts that parsers, patterns and counts of characters treat differently, and the parts of texts that have a form. */
const PIECES = [
  ...'aZ70@.-_+/,*"\'\\%:;~!#|\0\t\n\x1c\x1f\x7f \xa0\x85\u1680\u180e\u2028\u2060\u3000\ufeff\u200b\xad\u2800\ufff9',
  ...'éßİﬃ１ＡＵ。😀\u0958\uffff\u{10ffff}',
  ...['e\u0301', 'x'.repeat(15), 'x'.repeat(199), 'x'.repeat(250), '😀'.repeat(250), '\u0958'.repeat(180)],
  ...['ada@example.com', '@example.com', '@EXAMPLE.co', 'xn--bcher-kva', 'Europe/Berlin', 'UTC', 'Etc/GMT+1'],
  ...['"3"', 'W/"3"', '""', 'me', 'start', 'created_at', '-name', 'status', '2026-11-22', 'T12:00:00Z'],
  ...['01986f5e-7c00-7000-8000-0123456789ab', '01986F5E-7C00-0000-0000-0123456789AB', '7KQ2-M9XD-4HRT-V8CW'],
]

const texts = fc.array(fc.constantFrom(...PIECES), { maxLength: 6 }).map((pieces) => pieces.join(''))

const times = fc
  .tuple(
    fc.constantFrom('2026-11-22', '0001-01-01', '9999-12-31', '2024-02-29', '2023-02-29', '1969-12-31'),
    fc.constantFrom('', 'T12:00:00', 't00:00:00', 'T23:59:59', 't23:59:59.9', 'T23:59:59.9999999999', 'T24:00:00'),
    fc.constantFrom('', 'Z', 'z', '+01:00', '-00:00', '+23:59', '-23:59', '+24:00'),
  )
  .map((parts) => parts.join(''))

const document: Json = JSON.parse(writeOpenApi('http://localhost'))
const ajv = createAjv()
const fields = app.openAPIRegistry.definitions.flatMap((one) => (one.type === 'route' ? fieldsOf(one.route) : []))

test.each(fields)('$name takes the texts of its published schema', ({ schema, accepts, lift }) => {
  const isPublished = ajv.compile(schema)
  const property = (text: string) => {
    if (!isPublished(lift(text))) return
    const errors = accepts.safeParse(lift(text)).error?.issues.map(({ message }) => message) ?? []
    expect(errors.filter((message) => !RULES.includes(message))).toEqual([])
  }
  fc.assert(fc.property(fc.oneof(fc.constantFrom(...PIECES), texts, times), property), { numRuns: 500 })
})

type Field = { name: string; schema: Json; accepts: ZodType; lift: (text: string) => unknown }

/** Returns the parameters of an operation and the fields of its body. */
function fieldsOf({ method, operationId = '', request = {} }: Json): Field[] {
  const item = Object.values<Json>(document.paths).find((item) => item[method]?.operationId === operationId)
  const { parameters = [], requestBody } = item?.[method] ?? {}
  const parts: Json = { path: request.params, query: request.query, header: request.headers }
  const parameterFields = parameters.map(({ in: part, name, schema }: Json) => ({
    name: `${operationId} ${name}`,
    schema: JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/')),
    // A header that is only documented has no schema.
    accepts: parts[part]?.shape[name] ?? z.unknown(),
    lift: (text: string) => text,
  }))
  const media = requestBody?.content['application/json']
  if (!media) return parameterFields
  const schema = { $ref: `document${media.schema.$ref}` }
  const accepts = request.body.content['application/json'].schema
  const { properties } = document.components.schemas[media.schema.$ref.split('/').at(-1)]
  const bodyFields = Object.keys(properties).map((name) => ({
    name: `${operationId} ${name}`,
    schema,
    accepts,
    lift: (text: string) => ({ ...media.example, [name]: text }),
  }))
  return [...parameterFields, ...bodyFields]
}

/** Returns a validator with formats as their RFCs define them. */
function createAjv() {
  const ajv = new Ajv2020({ strict: false })
  const date = '(?!0000)\\d{4}-\\d\\d-\\d\\d'
  const isDay = (text: string) => new Date(text.slice(0, 10)).toJSON()?.startsWith(text.slice(0, 10)) === true
  ajv.addFormat('date', (text) => new RegExp(`^${date}$`).test(text) && isDay(text))
  const hour = '([01]\\d|2[0-3]):[0-5]\\d'
  const time = new RegExp(`^${date}T${hour}:[0-5]\\d(\\.\\d+)?(Z|[+-]${hour})$`, 'i')
  ajv.addFormat('date-time', (text) => time.test(text) && isDay(text))
  ajv.addFormat('int32', true).addFormat('password', true)
  ajv.addFormat('uuid', /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i)
  // RFC 5321 (4.1.2), except quoted strings and addresses in brackets.
  const atom = "[\\w!#$%&'*+/=?^`{|}~-]+"
  const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  ajv.addFormat('email', new RegExp(`^(?=.{1,64}@)${atom}(\\.${atom})*@${label}(\\.${label})*$`, 'i'))
  return ajv.addSchema({ $id: 'document', components: document.components })
}
