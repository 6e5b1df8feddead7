import { describe, expect, test } from 'vitest'
import { InvalidDatabaseUrl, nameOf, parseDatabaseUrl } from '../../src/database/url.ts'

const hostsOf = (url: string) => parseDatabaseUrl(url).hosts.map(({ address, port }) => `${address} ${port}`)

describe('parses', () => {
  test.each([
    ['postgres://u:p@db:6432/d', ['db 6432']],
    ['postgresql://u@db/d', ['db 5432']],
    ['POSTGRES://db', ['db 5432']],
    ['postgres://', ['localhost 5432']],
    ['postgres:///d', ['localhost 5432']],
    ['postgres://u:p@[::1]:6432/d', ['::1 6432']],
    ['postgres://[2001:db8::1]/d', ['2001:db8::1 5432']],
    ['postgres://[fe80::1%25eth0]/d', ['fe80::1%eth0 5432']],
    ['postgres://a,b:2,[::1]:3/d', ['a 5432', 'b 2', '::1 3']],
    ['postgres:///d?host=a,b&port=1,2', ['a 1', 'b 2']],
    ['postgres:///d?host=a,b&port=1', ['a 1', 'b 1']],
    ['postgres:///d?host=::1', ['::1 5432']],
    ['postgres://u:p@localhost/d?host=/cloudsql/project:region:name', ['/cloudsql/project:region:name 5432']],
    ['postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d', ['/var/run/postgresql 5432']],
    ['postgres://%2Ftmp:6432/d', ['/tmp 6432']],
    ['postgres:///d?host=db&hostaddr=10.0.0.1', ['10.0.0.1 5432']],
  ])('the hosts of %s', (url, hosts) => expect(hostsOf(url)).toEqual(hosts))

  test('a URL with white space around it', () => {
    expect(parseDatabaseUrl(' postgres://u:p@h/d\r\n')).toEqual(parseDatabaseUrl('postgres://u:p@h/d'))
  })

  test('the login and the database, decoded', () => {
    expect(parseDatabaseUrl('postgres://a%40b:p%2F%3A:@h/d%20x')).toMatchObject({
      user: 'a@b',
      password: 'p/::',
      database: 'd x',
    })
    expect(parseDatabaseUrl('postgres://h')).toMatchObject({ user: undefined, password: '', database: undefined })
    expect(parseDatabaseUrl('postgres://h/?user=u&password=p&dbname=d')).toMatchObject({
      user: 'u',
      password: 'p',
      database: 'd',
    })
  })

  test.each([
    ['', 'disable'],
    ['sslmode=disable', 'disable'],
    ['sslmode=Require', 'require'],
    ['sslmode=no-verify', 'require'],
    ['SSLMODE=VERIFY-FULL', 'verify-full'],
    ['sslmode=allow', 'prefer'],
    ['ssl=true', 'verify-full'],
    ['ssl=false', 'disable'],
    ['ssl=require', 'require'],
    ['sslmode=require&sslrootcert=ca.pem', 'verify-ca'],
    ['sslmode=no-verify&sslrootcert=ca.pem', 'require'],
    ['sslrootcert=ca.pem', 'verify-full'],
    ['sslrootcert=system', 'verify-full'],
    ['sslmode=require&sslrootcert=system', 'verify-full'],
    ['sslmode=require&uselibpqcompat=true', 'require'],
  ])('the mode of TLS in ?%s', (query, mode) => expect(parseDatabaseUrl(`postgres://h/d?${query}`).tls.mode).toBe(mode))
})

describe('drops the parameters of', () => {
  test.each([
    ['Neon', 'sslmode=require&channel_binding=require&options=endpoint%3Dep-x', { options: 'endpoint=ep-x' }],
    ['Supabase', 'pgbouncer=true&connection_limit=1', {}],
    ['Prisma', 'schema=public&pool_timeout=0&socket_timeout=3&statement_cache_size=0&sslaccept=strict', {}],
    ['libpq', 'gssencmode=disable&keepalives=1&keepalives_idle=30&target_session_attrs=any&connect_timeout=10', {}],
    ['pgx', 'pool_max_conns=10&default_query_exec_mode=simple_protocol', {}],
    ['JDBC', 'currentSchema=public&ApplicationName=x&tcpKeepAlive=true', { application_name: 'x' }],
    ['nobody', 'statement_timeout=5s&app.tenant=1&empty=', { statement_timeout: '5s', 'app.tenant': '1' }],
    ['a form', 'options=-c+work_mem%3D8MB+-c%20jit%3Doff', { options: '-c work_mem=8MB -c jit=off' }],
  ])('%s', (_, query, parameters) => expect(parseDatabaseUrl(`postgres://h/d?${query}`).parameters).toEqual(parameters))

  test('poolers, and prepares no statements where they ask for it', () => {
    expect(parseDatabaseUrl('postgres://h/d').isPrepared).toBe(true)
    expect(parseDatabaseUrl('postgres://h/d?pgbouncer=true').isPrepared).toBe(false)
    expect(parseDatabaseUrl('postgres://h/d?statement_cache_size=0').isPrepared).toBe(false)
  })
})

describe('rejects, without repeating a value,', () => {
  test.each([
    ['postgres://u:secret/x@h/d', '%2F'],
    ['postgres://u:secret#x@h/d', '%23'],
    ['postgres://u:secret?x@h/d', '%3F'],
    ['postgres://u:secret%zz@h/d', '%25'],
    ['postgres://h:secret/d', 'port'],
    ['postgres://h:0/d', 'port'],
    ['postgres://h:65536/d', 'port'],
    ['postgres://a,b/d?port=1,2,3', 'port'],
    ['postgres://::1/d', 'brackets'],
    ['postgres://h/d?sslmode=secret', 'sslmode'],
    ['postgres://h/d?ssl=secret', 'ssl'],
    ['postgres://h/d?sslmode=disable&sslrootcert=system', 'sslmode'],
    ['postgres://h/d?sslmode=no-verify&sslrootcert=system', 'sslmode'],
    ['postgres://h/d?sslnegotiation=direct', 'sslmode'],
    ['postgres://h/d?target_session_attrs=standby', 'target_session_attrs'],
    ['postgres://h/d?target_session_attrs=secret', 'target_session_attrs'],
    ['postgres://h/d?connect_timeout=secret', 'connect_timeout'],
    ['postgres://h/d?schema=secret', 'schema'],
    ['postgres://h/d?service=secret', 'service'],
    ['postgres://h/d?require_auth=secret', 'require_auth'],
    ['postgres://h/d?se%20cret=1', 'name'],
    ['mysql://h/d', ''],
  ])('%s', (url, part) => {
    expect(() => parseDatabaseUrl(url)).toThrow(InvalidDatabaseUrl)
    expect(() => parseDatabaseUrl(url)).toThrow(part)
    expect(() => parseDatabaseUrl(url)).not.toThrow('secret')
  })
})

test('names a database without its user and password', () => {
  expect(nameOf('postgres://u:secret@[::1],db:6432/d?sslmode=require')).toBe('d at [::1]:5432, db:6432')
  expect(nameOf('postgres://u:secret@/d?host=/tmp')).toBe('d at /tmp:5432')
})
