import fc from 'fast-check'
import type { Json } from '../support/fixtures.ts'
import type { Operation } from './openapi.ts'

/** Texts that are known to break servers, as JSON. */
const TEXTS: string[] = JSON.parse(String.raw`[
  "", " ", "\t", "\n", "\u0000", "a\u0000b", "\ud800", "\udfff", "x\ud83d", "\udbff\udfff", "\ufeff", "\u202e", "\u2028", "\u0007\u001b[2J",
  "'; drop table users; --", "\" or 1=1", "$1", "$${'{7*7}'}", "{{7*7}}", "<script>alert(1)</script>", "\\", "%_\\", "\"", "\"\"", ",",
  "\r\nSet-Cookie: a=b", "../../etc/passwd", "%", "%00", "%zz", "%ff", "%e0%a4", "?", "#", "&", "=", "/", "+", "\u0130", "\u00df", "\ufb00",
  "__proto__", "constructor", "toString", "null", "undefined", "NaN", "true", "false", "me", "ME", "*", "'1'", "a@b", "A@B.C\r\nBcc: x@y.z",
  "-1", "0", "-0", "1", "01", "1e3", "0x10", " 12 ", "100", "101", "1.5", "2147483648", "W/\"1\"", "\"1\"", "\"1\", \"2\"", "\"9999999999\"",
  "2026-02-30", "2026-11-22", "2026-11-22t10:00:00z", "2026-11-22T10:00:00", "2026-11-22T10:00:00.123456789+05:30", "2026-12-31T23:59:60Z",
  "0000-01-01", "0001-01-01", "1969-12-31", "1970-01-01", "9998-12-31", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:59",
  "-000001-01-01T00:00:00Z", "+275760-09-13T00:00:00Z", "2026-11-22T24:00:00Z", "hour", "month", "svg", "localtime", "posixrules",
  "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "01986F5E-7C00-7000-8000-0123456789AB",
  "Etc/GMT+12", "europe/berlin", "Pacific/Apia", "America/Scoresbysund", "+05:30", "EST5EDT", "e\u0301", "\ud834\udd1e",
  "-name", "name,-status", "created_at,created_at", "name,status,updated_at,created_at", "name,", "-"
]`)
const LONG = ['9'.repeat(400), '😀'.repeat(256), 'a'.repeat(255), 'a'.repeat(256), 'a'.repeat(10_001)]

/** JSON that no schema allows, and JSON that no serializer writes. */
const VALUES =
  String.raw`null true false 0 -0 1 1.5 -1 1e999 -1e999 1e-999 9007199254740993 [] {} [[]] [null] ["x"] "\ud800"
  "\u0000" {"__proto__":{"a":1}} {"constructor":{"prototype":{}}} NaN 'x' 01 +1 .5 0x10 "\x"`.split(/\s+/)
const DEEP = [
  '['.repeat(3000) + ']'.repeat(3000),
  '{"a":'.repeat(3000) + '1'.concat('}'.repeat(3000)),
  '9'.repeat(5000),
]

const NAMES =
  `__proto__ constructor prototype toString hasOwnProperty id is_admin password ~ / ~1/~0 Name user_id creator
  version`.split(/\s+/)

// Edits of a path: a pattern and its replacement.
const PATHS: [string, string][] = JSON.parse(String.raw`[
  ["^", "/"], ["$", "/"], ["$", "%00"], ["$", "..;/"], ["a", "%61"], ["a", "A"], ["$", "%zz"], ["$", "%ff/"], ["/", "/./"], ["$", "%2f"],
  ["$", ";a=b"], ["s/", "s//"], ["/$", ".json"], ["^", "/v1"], ["..$", ""], ["/", "\\"], ["$", "x"], ["$", "%e2%80%ae"]
]`)

const QUERIES = '% %zz a=%ff = a & && =x ? %00=%00 a[]=1 a[b]=1 +=+ a=1&a=2'.split(' ')

// In these, `{}` stands for the valid value.
const BODIES = [
  '\n{} \t',
  '{}{}',
  '[{}]',
  '{},',
  '{}//x',
  ")]}',\n{}",
  'x{}',
  '{}\0',
  '',
  ' ',
  '['.repeat(100_000),
  '"{}"',
]

const INVALID_AUTHORIZATIONS = [
  '{}',
  'Bearer',
  'Bearer {}, Bearer {}',
  'Basic {}',
  'Bearer "{}"',
  'Bearer dkt_{}',
  'Bearer:{}',
  '{} Bearer',
]
const VALID_AUTHORIZATIONS = ['Bearer {}', 'bearer {}', 'Token {}', 'TOKEN   {} ']

const HEADERS =
  `Accept Accept-Language Accept-Encoding X-Request-Id User-Agent Origin Cookie Range Referer Host X-Forwarded-For
  X-Forwarded-Proto X-Forwarded-Host X-HTTP-Method-Override Content-Encoding Content-Length If-Match If-None-Match If-Modified-Since
  Transfer-Encoding Connection X-Original-URL Last-Event-ID Access-Control-Request-Method CF-Connecting-IP Prefer`.split(
    /\s+/,
  )
const HEADER_VALUES = [
  'image/svg+xml',
  'application/json;q=0',
  '*/*;q=0.1, image/svg+xml;q=2',
  'text/html',
  ',;=',
  'x'.repeat(4000),
  '*',
  '5',
  '-1',
  '"1","2","3"',
  '"',
  'null',
  'https://evil.example',
  '127.0.0.1',
  '::1',
  'gzip',
  '99999999',
  'chunked',
  'bytes=0-1',
]
const TYPES = [
  '',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/jsonx',
  'text/json',
  'application/json; charset=utf-16',
  'application/json; charset=latin1',
  'application/json;;',
  'application/problem+json',
  '*/*',
  'application/json, text/plain',
  'APPLICATION/JSON',
  'application/json ; charset=utf-8',
  'application/json; charset="utf-8',
  'application/json; charset="utf-8"',
  'application/json;charset=utf8',
]
const METHODS = 'GET HEAD POST PUT PATCH DELETE OPTIONS QUERY PROPFIND'.split(' ')

const units = fc.array(fc.nat(0xffff), { maxLength: 12 }).map((codes) => String.fromCharCode(...codes))

const hostileText = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 1, arbitrary: fc.constantFrom(...LONG) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
  // Any UTF-16, also lone surrogates.
  { weight: 2, arbitrary: units },
  { weight: 1, arbitrary: fc.uuid() },
)

const hostileJson = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 4, arbitrary: hostileText.map((text) => JSON.stringify(text)) },
  { weight: 1, arbitrary: fc.constantFrom(...DEEP) },
  { weight: 1, arbitrary: fc.jsonValue().map((value) => JSON.stringify(value)) },
)

const hostileName = fc.oneof(fc.constantFrom(...NAMES, '', '\0', '\ud800', 'a'.repeat(300)), hostileText)

/** Stands for a value that exists on the server, such as an id, which is looked up when the request is sent. */
export class Placeholder {
  readonly name: string
  readonly pick: number
  constructor(name: string, pick: number) {
    this.name = name
    this.pick = pick
  }
}

/** Tells whether random values of a parameter or field would hardly ever exist on the server. */
const needsPlaceholder = (name: string) => /^(id|email|code|assignee|creator|if-.*|(.*_)?password)$/.test(name)

/** A request for one operation, before placeholders are replaced. */
export type RequestPlan = {
  operation: Operation
  method: string
  pathParameters: [string, unknown][]
  /** An edit of the path: a pattern and its replacement. */
  pathEdit: [string, string]
  query: [string, unknown][]
  rawQuery: string
  headers: [string, unknown][]
  /** Selects the caller. */
  person: number
  authorization: string | undefined
  /** Selects a link from earlier responses to follow. */
  link: number | undefined
  body: Json | undefined
  editBody: (text: string) => string
  encodeBody: (text: string) => Uint8Array
  type: string
  isChunked: boolean
}

const mostly = <T>(good: fc.Arbitrary<T>, bad: fc.Arbitrary<T>, weight: number): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: good }, { weight: 1, arbitrary: bad })

/** Generates requests for an operation from its documentation: half are valid, the others wrong in one or several ways. */
export function requestPlans(operation: Operation): fc.Arbitrary<RequestPlan> {
  const parametersIn = (location: string): Json[] =>
    (operation.declared.parameters ?? []).filter((parameter: Json) => parameter.in === location)
  const pair = ({ name, schema }: Json) =>
    mostly<unknown>(valuesOf(schema, name), hostileText, 14).map((value): [string, unknown] => [name, value])
  const someIn = (location: string): fc.Arbitrary<[string, unknown][]> => {
    const pairs = parametersIn(location).map(pair)
    const none = fc.constant<[string, unknown][]>([])
    return pairs.length > 0 ? fc.oneof(none, fc.array(fc.oneof(...pairs), { maxLength: 4 })) : none
  }
  const withoutRepetition = someIn('query').map((pairs) => [...new Map(pairs)])
  const unknown = fc.tuple(hostileName, hostileText).map((pair): [string, unknown][] => [pair])

  return fc.record<RequestPlan>({
    operation: fc.constant(operation),
    method: mostly(fc.constant(operation.method), fc.constantFrom(...METHODS), 25),
    pathParameters: fc.tuple(...parametersIn('path').map(pair)),
    pathEdit: mostly(fc.constantFrom<[string, string][]>(['$', ''], ['/$', '']), fc.constantFrom(...PATHS), 30),
    query: mostly<[string, unknown][]>(withoutRepetition, fc.oneof(someIn('query'), unknown), 20),
    rawQuery: mostly(fc.constant(''), fc.constantFrom(...QUERIES), 40),
    headers: fc.oneof(
      { weight: 5, arbitrary: someIn('header') },
      {
        weight: 1,
        arbitrary: fc.array(
          fc.tuple(fc.constantFrom(...HEADERS), fc.oneof(fc.constantFrom(...HEADER_VALUES), hostileText)),
          { maxLength: 3 },
        ),
      },
    ),
    person: fc.nat(),
    authorization: fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom('Bearer {}', ...VALID_AUTHORIZATIONS) },
      { weight: 1, arbitrary: fc.constantFrom(undefined, ...INVALID_AUTHORIZATIONS) },
      { weight: 1, arbitrary: hostileText.map((text) => `Bearer {}${text}x`) },
    ),
    link: fc.option(fc.nat(), { nil: undefined, freq: 1 }),
    body: operation.body
      ? mostly<Json | undefined>(objectsOf(operation.body), fc.constant(undefined), 40)
      : mostly<Json | undefined>(fc.constant(undefined), fc.constantFrom({}, { a: 1 }), 14),
    editBody: mostly(
      fc.constant((text: string) => text),
      edits,
      6,
    ),
    encodeBody: mostly(fc.constant(utf8), encodings, 30),
    type: mostly(fc.constantFrom('application/json', 'application/json; charset=utf-8'), fc.constantFrom(...TYPES), 30),
    isChunked: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  })
}

/** Tells whether the contract allows an Authorization header. */
export const isValidAuthorization = (authorization: string | undefined) =>
  VALID_AUTHORIZATIONS.includes(authorization ?? '')

/** Edits of a body's text: an added, repeated, replaced or missing field, or broken JSON. */
const edits = fc
  .tuple(fc.nat(), hostileName, hostileJson, fc.constantFrom(...BODIES), fc.nat(6))
  .map(([at, name, json, body, kind]) => (text: string): string => {
    const names = Object.keys(JSON.parse(text))
    const own = names[at % names.length] ?? name
    const members = names.map(
      (one) => `${JSON.stringify(one)}:${one === own && kind < 2 ? json : JSON.stringify(JSON.parse(text)[one])}`,
    )
    const cut = at % (text.length + 1)
    if (kind < 2) return `{${members.join(',')}}`
    if (kind === 2) return `{${[`${JSON.stringify(name)}:${json}`, ...members].join(',')}}`
    if (kind === 3) return `{${[`${JSON.stringify(own)}:${json}`, ...members].join(',')}}`
    if (kind === 4) return `{${members.filter((_, index) => names[index] !== own).join(',')}}`
    if (kind === 5) return text.slice(0, cut) + name + text.slice(cut + (at % 2))
    return body.replaceAll('{}', () => text)
  })

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const encodings = fc.oneof(
  fc.constantFrom<((text: string) => Uint8Array)[]>(
    (text) => utf8(`\ufeff${text}`),
    (text) => Buffer.from(`\ufeff${text}`, 'utf16le'),
    (text) => Buffer.from(text, 'latin1'),
    (text) => utf8(text.padEnd(300_000)),
  ),
  fc
    .tuple(
      fc.nat(),
      fc.constantFrom([0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0]),
    )
    .map(
      ([at, bad]) =>
        (text: string) =>
          new Uint8Array([...utf8(text.slice(0, at % text.length)), ...bad, ...utf8(text.slice(at % text.length))]),
    ),
)

/** Generates values that a schema allows. */
function valuesOf(schema: Json, name: string): fc.Arbitrary<unknown> {
  const example = schema.example ?? schema.default ?? /For example `([^`]+)`/.exec(schema.description ?? '')?.[1]
  return fc.oneof(
    { weight: 1, arbitrary: valuesOfType(schema, name) },
    ...(example === undefined || needsPlaceholder(name) ? [] : [{ weight: 2, arbitrary: fc.constant(example) }]),
    ...(needsPlaceholder(name) ? [{ weight: 4, arbitrary: fc.nat().map((pick) => new Placeholder(name, pick)) }] : []),
  )
}

function valuesOfType(schema: Json, name: string): fc.Arbitrary<unknown> {
  const { type, format, minimum = -(2 ** 53), maximum = 2 ** 53, minLength = 0, maxLength = 4096 } = schema
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((form: Json) => valuesOfType(form, name)))
  if (schema.readOnly) return fc.jsonValue()
  if (type === 'integer') return fc.integer({ min: minimum, max: maximum })
  if (type === 'boolean') return fc.boolean()
  if (type === 'array') return fc.array(valuesOf(schema.items, name), { maxLength: 3 })
  if (type === 'object') return objectsOf(schema)
  if (type !== 'string') throw new Error(`No values are defined for ${JSON.stringify(schema)}`)
  if (format === 'uuid') return fc.uuid({ version: [4, 7] })
  if (format === 'email') return fc.emailAddress()
  if (format === 'date-time' || format === 'date') {
    return fc
      .date({ noInvalidDate: true })
      .map((date) => date.toISOString().slice(0, format === 'date' ? 10 : undefined))
  }
  return fc.string({ unit: 'binary', minLength, maxLength: Math.min(maxLength, minLength + 40) })
}

/** Generates objects with all required fields and some optional ones. */
const objectsOf = ({ properties = {}, required = [] }: Json): fc.Arbitrary<Json> =>
  fc.record(Object.fromEntries(Object.entries<Json>(properties).map(([name, part]) => [name, valuesOf(part, name)])), {
    requiredKeys: required,
  })
