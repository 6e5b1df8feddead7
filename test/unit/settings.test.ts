import { describe, expect, test } from 'vitest'
import { readSettings, StartupError } from '../../src/settings.ts'

test('an empty environment gives the defaults; an empty value is unset', () => {
  const defaults = readSettings({})
  expect(defaults).toMatchObject({ HOST: '127.0.0.1', PORT: 8000, DATA_DIR: '.data', SESSION_DAYS: 30 })
  expect(defaults).toMatchObject({ TRUST_PROXY: false, RATE_LIMITS: 'on', CORS_ORIGINS: [], LOG_LEVEL: 'info' })
  expect(readSettings({ PORT: '', DATABASE_URL: '', HOME: '/x' })).toEqual(defaults)
})

test('settings are read from the environment', () => {
  const settings = {
    PORT: '80',
    DATABASE_URL: 'postgres://u:p@h/d',
    CORS_ORIGINS: 'https://a.example, http://localhost:5173',
    TRUST_PROXY: 'true',
    RESEND_API_KEY: 're_x',
    MAIL_FROM: 'Docket <a@b.example>',
  }
  expect(readSettings(settings)).toMatchObject({
    PORT: 80,
    TRUST_PROXY: true,
    CORS_ORIGINS: ['https://a.example', 'http://localhost:5173'],
  })
})

test('PUBLIC_URL is normalized and has no slash at its end', () => {
  const read = (PUBLIC_URL: string) => readSettings({ PUBLIC_URL }).PUBLIC_URL
  expect(read('https://API.example.com')).toBe('https://api.example.com')
  expect(read('https://example.com:443/')).toBe('https://example.com')
  expect(read('http://localhost:8000/docket//')).toBe('http://localhost:8000/docket')
  expect(read('https://example.com/a>b/./c/')).toBe('https://example.com/a%3Eb/c')
})

describe('reading a wrong setting', () => {
  test.each([
    ['PORT', '80a', 'a port number from 0 to 65535, for example 8000.'],
    ['PORT', '65536', 'a port number'],
    ['PORT', '1e3', 'a port number'],
    ['PORT', '-1', 'a port number'],
    ['DATABASE_URL', 'mysql://root:secret@localhost/x', 'postgres://user:password@host:5432/name'],
    ['DATABASE_URL', 'secret', 'postgres://user:password@host:5432/name'],
    ['DATABASE_URL', 'postgres://u:secret%zz@h/d', '%25 for each % in the password'],
    ['DATABASE_URL', 'postgres://h/secret%', '%25 for each % in the password'],
    ['DATABASE_URL', 'postgres://h/d?sslmode=secret', 'Its sslmode must be one of disable'],
    ['DATABASE_URL', 'postgres://a:secret#x@h/d', '# as %23'],
    ['POOL_SIZE', '0', 'a number of connections from 1 to 1000'],
    ['RESEND_BASE_URL', 'api.resend.com', 'https://api.resend.com'],
    ['SMTP_URL', 'mail.example.com', 'smtps://user:password@mail.example.com'],
    ['SMTP_URL', 'https://u:secret@mail.example.com', 'smtps://'],
    ['SMTP_URL', 'smtp://u:secret%zz@mail.example.com', 'smtps://'],
    ['SMTP_URL', 'smtp://mail.example.com/?secure=false', 'smtps://'],
    ['SERVICE_NAME', 'Docket <script>', 'at most 60 characters'],
    ['SERVICE_NAME', 'Docket\nBcc: a@b.example', 'at most 60 characters'],
    ['MAIL_FROM', 'Docket', 'Docket <no-reply@example.com>'],
    ['MAIL_FROM', 'a@b.example\r\nBcc: c@d.example', 'Docket <no-reply@example.com>'],
    ['CORS_ORIGINS', '*', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://*.example.com', 'without wildcards'],
    ['CORS_ORIGINS', 'https://a.example//', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://a.example/app', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://a.example?x', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://user:secret@a.example', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https:a.example', 'https://app.example.com'],
    ['CORS_ORIGINS', 'a.example', 'https://app.example.com'],
    ['CORS_ORIGINS', 'localhost:5173', 'https://app.example.com'],
    ['CORS_ORIGINS', 'null', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://a.example,file://x', 'https://app.example.com'],
    ['CORS_ORIGINS', 'file:///', 'https://app.example.com'],
    ['CORS_ORIGINS', 'capacitor://', 'https://app.example.com'],
    ['CORS_ORIGINS', 'capacitor://localhost/x', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://a.example:99999', 'https://app.example.com'],
    ['CORS_ORIGINS', 'https://a.example;https://b.example', 'https://app.example.com'],
    ['PUBLIC_URL', 'example.com', 'https://example.com/docket'],
    ['PUBLIC_URL', '/docket', 'https://example.com/docket'],
    ['PUBLIC_URL', 'ftp://example.com', 'https://example.com/docket'],
    ['PUBLIC_URL', 'javascript:alert(1)', 'https://example.com/docket'],
    ['PUBLIC_URL', 'https://root:secret@example.com', 'https://example.com/docket'],
    ['PUBLIC_URL', 'https:/secret@example.com', 'https://example.com/docket'],
    ['PUBLIC_URL', 'https://example.com/?', 'https://example.com/docket'],
    ['PUBLIC_URL', 'https://example.com/#secret', 'https://example.com/docket'],
    ['PUBLIC_URL', 'https://example.com:99999', 'https://example.com/docket'],
    ['TRUST_PROXY', 'yes', 'true or false'],
    ['PASSWORD_HASHER', 'md5', 'pbkdf2_sha256 or scrypt'],
    ['SESSION_DAYS', '0', 'a number of days from 1 to 3650'],
    ['RATE_LIMITS', 'no', 'on or off'],
    ['LOG_LEVEL', 'verbose', 'trace, debug, info'],
  ])('rejects %s=%s with a hint and does not repeat it', (name, value, right) => {
    const read = () => readSettings({ [name]: value })
    expect(read).toThrow(StartupError)
    expect(read).toThrow(`${name} must be `)
    expect(read).toThrow(right)
    expect(read).not.toThrow('secret')
  })

  test('lists all wrong values together', () => {
    expect(() => readSettings({ PORT: 'x', RATE_LIMITS: 'x' })).toThrow(/PORT.*\n.*RATE_LIMITS/)
  })

  test('rejects unsafe settings in production', () => {
    const mail = { RESEND_API_KEY: 're_x', MAIL_FROM: 'a@b.example' }
    expect(readSettings({ NODE_ENV: 'development', RATE_LIMITS: 'off' })).toMatchObject({ RATE_LIMITS: 'off' })
    expect(readSettings({ NODE_ENV: 'production', ...mail })).toMatchObject({ RATE_LIMITS: 'on' })
    expect(() => readSettings({ NODE_ENV: 'production' })).toThrow(
      /^RESEND_API_KEY or SMTP_URL is required with NODE_ENV=production/,
    )
    const unlimited = { NODE_ENV: 'production', RATE_LIMITS: 'off', ...mail }
    expect(() => readSettings(unlimited)).toThrow(/^RATE_LIMITS must be on with NODE_ENV=production/)
  })

  test('refuses two providers of mail, and takes SMTP_URL in production', () => {
    const smtp = { SMTP_URL: 'smtp://u:secret@mail.example.com', MAIL_FROM: 'a@b.example' }
    expect(() => readSettings({ ...smtp, RESEND_API_KEY: 're_x' })).toThrow(/^RESEND_API_KEY and SMTP_URL are both set/)
    expect(() => readSettings({ SMTP_URL: smtp.SMTP_URL })).toThrow(/^MAIL_FROM is required with SMTP_URL/)
    expect(readSettings({ ...smtp, NODE_ENV: 'production' })).toMatchObject(smtp)
  })

  test('requires MAIL_FROM with RESEND_API_KEY', () => {
    expect(() => readSettings({ RESEND_API_KEY: 're_secret' })).toThrow(/^MAIL_FROM is required with RESEND_API_KEY/)
  })
})

test.each([
  ['https://A.example/', 'https://a.example'],
  ['HTTPS://a.example:443', 'https://a.example'],
  ['http://a.example:80/', 'http://a.example'],
  ['http://a.example:443', 'http://a.example:443'],
  ['https://exämple.com', 'https://xn--exmple-cua.com'],
  ['http://[::1]:5173', 'http://[::1]:5173'],
  ['Capacitor://Localhost/', 'capacitor://localhost'],
  ['tauri://localhost', 'tauri://localhost'],
  ['ionic://localhost', 'ionic://localhost'],
  ['app://obsidian.md', 'app://obsidian.md'],
  ['my.app+x-1://host:80', 'my.app+x-1://host:80'],
  ['chrome-extension://abcdef', 'chrome-extension://abcdef'],
  ['moz-extension://0a1b2c3d-0000-4000-8000-000000000000', 'moz-extension://0a1b2c3d-0000-4000-8000-000000000000'],
])('CORS_ORIGINS takes %s as %s', (given, origin) => {
  expect(readSettings({ CORS_ORIGINS: `${given} ,` }).CORS_ORIGINS).toEqual([origin])
})
