/** Where and how to connect, as a DATABASE_URL says it. */
export type DatabaseUrl = {
  /** The servers to try, in this order. */
  hosts: Host[]
  /** Without one, the name of the operating system's user. */
  user: string | undefined
  password: string
  /** Without one, the name of the user. */
  database: string | undefined
  tls: Tls
  /** Seconds. */
  connectTimeout: number | undefined
  /** Whether statements may be prepared by name, which old poolers do not support. */
  isPrepared: boolean
  /** Parameters of the server for each connection. */
  parameters: Record<string, string>
}

export type Host = {
  /** The name or address that the TLS certificate must have. */
  name: string
  /** The address to connect to, or the path of a Unix socket. */
  address: string
  port: number
  isSocket: boolean
}

export type Tls = {
  /** `verify-ca` verifies the certificate, and `verify-full` also that it belongs to the host. */
  mode: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'
  /** Whether TLS starts without asking the server, as since PostgreSQL 17. */
  isDirect: boolean
  sendsName: boolean
  /** Files. The root certificates can also be `system`. */
  files: { rootCertificates?: string; certificate?: string; key?: string; revocations?: string }
  passphrase: string | undefined
  minVersion: string | undefined
  maxVersion: string | undefined
}

/** Why a text is no usable DATABASE_URL, as a sentence. It never repeats a value, which may be a secret. */
export class InvalidDatabaseUrl extends Error {}

const MODES: Record<string, Tls['mode']> = {
  disable: 'disable',
  // PostgreSQL's `allow` prefers no TLS, which is of no use.
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'no-verify': 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
}

// Options of clients: of libpq, Prisma, node-postgres, postgres.js, JDBC, pgx, SQLAlchemy and Rails. They have no meaning here.
const IGNORED = new Set(
  `channel_binding gssencmode gsslib gssdelegation krbsrvname keepalives keepalives_idle keepalives_interval
  keepalives_count tcp_user_timeout sslcompression sslcertmode fallback_application_name client_encoding encoding
  min_protocol_version max_protocol_version passfile
  pgbouncer connection_limit pool_timeout socket_timeout statement_cache_size single_use_connections
  max_idle_connection_lifetime max_connection_lifetime sslidentity sslaccept
  uselibpqcompat supa pool_mode workaround pool pool_size max idle_timeout max_lifetime max_pipeline backoff
  keep_alive prepare fetch_types debug publications simple_protocol
  preparethreshold preparedstatementcachequeries preparedstatementcachesizemib rewritebatchedinserts tcpkeepalive
  sockettimeout logintimeout binarytransfer
  pool_max_conns pool_min_conns pool_min_idle_conns pool_max_conn_lifetime pool_max_conn_lifetime_jitter
  pool_max_conn_idle_time pool_health_check_period default_query_exec_mode statement_cache_capacity
  description_cache_capacity prepared_statement_cache_size command_timeout
  adapter timeout binary_parameters checkout_timeout reaping_frequency prepared_statements advisory_locks conn_max_age`.split(
    /\s+/,
  ),
)

// How clients are told that a pooler does not support prepared statements: Prisma, asyncpg, JDBC, Rails and postgres.js.
const UNPREPARED = [
  ['pgbouncer', 'true'],
  ['pgbouncer', '1'],
  ['statement_cache_size', '0'],
  ['prepared_statement_cache_size', '0'],
  ['preparethreshold', '0'],
  ['prepared_statements', 'false'],
  ['prepare', 'false'],
  ['default_query_exec_mode', 'exec'],
  ['default_query_exec_mode', 'simple_protocol'],
] as const

// Options of libpq that choose or secure the connection: without them it would be another one than was meant.
const UNSUPPORTED = ['service', 'servicefile', 'sslcrldir', 'requiressl', 'require_auth', 'requirepeer', 'replication']

const ESCAPES = 'Write / as %2F, ? as %3F, # as %23 and @ as %40 in its parts, for example in the password.'

/** Parses a connection URI as libpq defines it (PostgreSQL's manual, 34.1.1.2). Throws an InvalidDatabaseUrl. */
export function parseDatabaseUrl(url: string): DatabaseUrl {
  const parts = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#@]*))?(?:\?([^#]*))?$/i.exec(url.trim())
  if (!parts) fail(ESCAPES)
  const [, login = '', authority = '', path = '', query = ''] = parts
  const options = readQuery(query)
  const [user, ...password] = login.split(':')
  const take = (name: string) => {
    const value = options.get(name)
    options.delete(name)
    return value || undefined
  }
  for (const name of UNSUPPORTED) if (take(name)) fail(`Docket does not support its parameter ${name}. Remove it.`)
  for (const name of ['schema', 'currentschema']) {
    if (!['public', undefined].includes(take(name))) fail(`Its ${name} must be public, where Docket has its tables.`)
  }
  checkSession(take('target_session_attrs'))
  const isShuffled = choice('load_balance_hosts', take('load_balance_hosts'), ['disable', 'random']) === 'random'
  const hosts = readHosts(authority, take('host'), take('hostaddr'), take('port'))
  return {
    hosts: isShuffled ? hosts.toSorted(() => Math.random() - 0.5) : hosts,
    user: take('user') ?? (decode(user ?? '') || undefined),
    password: take('password') ?? decode(password.join(':')),
    database: take('dbname') ?? (decode(path) || undefined),
    tls: readTls(take),
    isPrepared: !UNPREPARED.some(([name, value]) => options.get(name)?.toLowerCase() === value),
    connectTimeout: seconds('connect_timeout', take('connect_timeout')),
    parameters: readParameters(options),
  }
}

/** Names a database for people, without its user and password: `docket at 127.0.0.1:5432`. */
export function nameOf(url: string): string {
  const { hosts, database, user } = parseDatabaseUrl(url)
  const names = hosts.map(({ name, port, isSocket }) =>
    name.includes(':') && !isSocket ? `[${name}]:${port}` : `${name}:${port}`,
  )
  return `${database ?? user ?? 'of the default name'} at ${names.join(', ')}`
}

function fail(problem: string): never {
  throw new InvalidDatabaseUrl(problem)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return fail('Write % as %25 in the password.')
  }
}

/** Returns the parameters of a query; the last one of a name counts. Names of clients' options are in lower case. */
function readQuery(query: string): Map<string, string> {
  const pairs = query.split('&').filter(Boolean)
  return new Map(
    pairs.map((pair) => {
      const [name, ...value] = pair.split('=')
      const decoded = decode(name ?? '')
      return [decoded.toLowerCase(), decode(value.join('='))]
    }),
  )
}

function readHosts(
  authority: string,
  host: string | undefined,
  hostaddr: string | undefined,
  port: string | undefined,
) {
  // A colon of an IPv6 address is within brackets.
  const pairs = authority
    .split(',')
    .map((text) => /^(\[[^\]]*\]|[^:[\]]*)(?::([^:]*))?$/.exec(text) ?? fail('Write an IPv6 address in brackets.'))
  const names = host?.split(',') ?? pairs.map(([, name = '']) => decode(name))
  const addresses = hostaddr?.split(',') ?? names
  const ports = port?.split(',') ?? pairs.map(([, , number = '']) => number)
  if (addresses.length !== names.length && host) fail('It must have as many hostaddr as host.')
  if (![1, addresses.length].includes(ports.length)) fail('It must have one port, or one for each host.')
  return addresses.map((text, index): Host => {
    const address = unbracket(text) || 'localhost'
    return {
      name: unbracket(names[index] ?? '') || address,
      address,
      port: readPort(ports.length === 1 ? ports[0] : ports[index]),
      isSocket: /^[/@]/.test(address),
    }
  })
}

const unbracket = (host: string) => host.replace(/^\[(.*)\]$/, '$1')

function readPort(text = ''): number {
  const port = text === '' ? 5432 : Number(text)
  if (!/^\d*$/.test(text) || port < 1 || port > 65535) fail(`Its port must be a number from 1 to 65535. ${ESCAPES}`)
  return port
}

function readTls(take: (name: string) => string | undefined): Tls {
  const [sslmode, ssl, rootCertificates] = [take('sslmode'), take('ssl'), take('sslrootcert')]
  const word = choice('sslmode', sslmode, Object.keys(MODES)) ?? switchOf(ssl)
  const isVerified = rootCertificates !== undefined && word !== 'no-verify'
  const mode = word === undefined ? (isVerified ? 'verify-full' : 'disable') : (MODES[word] as Tls['mode'])
  const isSystem = rootCertificates === 'system'
  if (isSystem && (!isVerified || mode === 'disable')) fail('With sslrootcert=system, its sslmode must be verify-full.')
  const isDirect = choice('sslnegotiation', take('sslnegotiation'), ['postgres', 'direct']) === 'direct'
  if (isDirect && (mode === 'disable' || mode === 'prefer')) {
    fail('With sslnegotiation=direct, its sslmode must be require, verify-ca or verify-full.')
  }
  return {
    // As libpq does: root certificates make `require` verify.
    mode: isSystem ? 'verify-full' : isVerified && mode === 'require' ? 'verify-ca' : mode,
    isDirect,
    sendsName: choice('sslsni', take('sslsni'), ['0', '1']) !== '0',
    files: {
      ...(rootCertificates && { rootCertificates }),
      ...optional('certificate', take('sslcert')),
      ...optional('key', take('sslkey')),
      ...optional('revocations', take('sslcrl')),
    },
    passphrase: take('sslpassword'),
    minVersion: version('ssl_min_protocol_version', take('ssl_min_protocol_version')),
    maxVersion: version('ssl_max_protocol_version', take('ssl_max_protocol_version')),
  }
}

/** Returns the mode for `ssl`, which other clients than libpq have. */
function switchOf(ssl: string | undefined): string | undefined {
  const word = choice('ssl', ssl, ['true', 'false', '1', '0', ...Object.keys(MODES)])
  if (word === 'true' || word === '1') return 'verify-full'
  return word === 'false' || word === '0' ? 'disable' : word
}

const optional = <Name extends string>(name: Name, value: string | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { [name in Name]?: string }

/** Docket writes, so of several hosts it always uses one that accepts writes if there is one. */
function checkSession(value: string | undefined) {
  const word = choice('target_session_attrs', value, [
    'any',
    'read-write',
    'primary',
    'read-only',
    'standby',
    'prefer-standby',
  ])
  if (word && !['any', 'read-write', 'primary'].includes(word)) {
    fail('Docket writes, so its target_session_attrs must be any, read-write or primary.')
  }
}

function version(name: string, value: string | undefined) {
  const known = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']
  const word = choice(
    name,
    value,
    known.map((item) => item.toLowerCase()),
  )
  return known.find((item) => item.toLowerCase() === word)
}

/** Returns a value in lower case. Fails if it is not one of the allowed ones. */
function choice(name: string, value: string | undefined, allowed: string[]): string | undefined {
  const word = value?.toLowerCase()
  if (word !== undefined && !allowed.includes(word)) {
    fail(`Its ${name} must be one of ${allowed.join(', ')}.`)
  }
  return word
}

function seconds(name: string, value: string | undefined): number | undefined {
  if (value !== undefined && !/^-?\d{1,6}$/.test(value)) fail(`Its ${name} must be a number of seconds.`)
  // Zero and below mean no limit in libpq, and here the default.
  return Number(value) > 0 ? Number(value) : undefined
}

/** Returns the parameters that are the server's. It refuses the ones that it does not know. */
function readParameters(options: Map<string, string>): Record<string, string> {
  const rest = [...options].filter(([name, value]) => !IGNORED.has(name) && value !== '')
  const renamed = new Map([['applicationname', 'application_name']])
  for (const [name] of rest) {
    if (!/^[a-z_][\w.]*$/.test(name)) fail('A parameter after the question mark has no valid name.')
  }
  // Written with a plus for the space, as in a form: -c+name=value.
  return Object.fromEntries(
    rest.map(([name, value]) => [
      renamed.get(name) ?? name,
      name === 'options' ? value.replace(/\+(?=-)|(?<=-c)\+/g, ' ') : value,
    ]),
  )
}
