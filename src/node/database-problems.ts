import { codeOf } from '../database/errors.ts'
import { rootCause } from '../logger.ts'

/** Error codes, a pattern of the server's message where codes have several causes, and what to do. */
type Advice = [codes: RegExp, message: RegExp | undefined, sentence: string]

const advices: Advice[] = [
  // Node's codes of sockets.
  [/^ECONNREFUSED$/, undefined, 'Nothing listens there. Start PostgreSQL, or correct the host and the port.'],
  [
    /^(ENOENT|ENOTSOCK)$/,
    undefined,
    'There is no Unix socket of PostgreSQL. Correct the folder in host, and the port.',
  ],
  [
    /^EACCES$/,
    undefined,
    'This user may not open its Unix socket. Change the permissions of the socket and its folder.',
  ],
  [/^(ENOTFOUND|EAI_AGAIN|EAI_\w+)$/, undefined, 'Its host name is unknown. Correct the host, or check the DNS.'],
  [
    /^(CONNECT_TIMEOUT|STATEMENT_TIMEOUT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/,
    undefined,
    'It does not answer. Check that it runs, that its host and port are right, and that no firewall is in between.',
  ],
  [
    /^(ECONNRESET|EPIPE|CONNECTION_\w+)$/,
    undefined,
    'It closed the connection. Check that PostgreSQL listens there and not another program, and see its log.',
  ],
  // TLS.
  [/^TLS_REFUSED$/, undefined, 'It does not offer TLS. Enable it in PostgreSQL, or use sslmode=disable.'],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    undefined,
    'Its certificate is for another host. Use the name in the certificate, or sslmode=verify-ca to verify no name.',
  ],
  [
    /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
    undefined,
    'Its certificate is not valid at this time. Renew it, or set the clock.',
  ],
  [
    /^(DEPTH_ZERO_\w+|SELF_SIGNED_\w+|UNABLE_TO_\w+|CERT_\w+|INVALID_CA)$/,
    undefined,
    'Its certificate is not trusted. Download the root certificates of your provider, and set sslrootcert to the file.',
  ],
  [
    /^(EPROTO|ERR_(SSL|TLS|OSSL)_\w+)$/,
    undefined,
    'TLS failed. It may need a client certificate (sslcert and sslkey) or another version of TLS, or the files are not in PEM format.',
  ],
  // Log-in.
  [
    /^28000$/,
    /no encryption|SSL off|ssl.*required|insecure/i,
    'It does not accept connections without TLS from here. Add sslmode=verify-full or sslmode=require.',
  ],
  [/^28000$/, /certificate/i, 'It needs a client certificate. Set sslcert and sslkey to the files.'],
  [
    /^28000$/,
    /role .* does not exist/i,
    'Its user does not exist. Correct the user, or create it: create role NAME login',
  ],
  [/^28000$/, /not permitted to log in/i, 'Its user may not log in. Allow it: alter role NAME login'],
  [/^28000$/, undefined, 'It refuses this user from this address. Correct the user, or add a line to its pg_hba.conf.'],
  [
    /^28P01$/,
    undefined,
    'The user or the password is wrong. Characters such as @ : / ? # % in the password must be percent-encoded.',
  ],
  [/^3D000$/, undefined, 'It does not exist. Create it as an administrator: create database NAME owner USER'],
  [
    /^(XX000|08P01)$/,
    /tenant|user not found/i,
    'The pooler does not know the user. Copy the whole URL from your provider.',
  ],
  [/^08P01$/, /SSL|TLS/i, 'It does not accept connections without TLS. Add sslmode=verify-full or sslmode=require.'],
  [
    /^(53300|08P01|XX000)$/,
    /too many|connection slots|max ?client|no more connections/i,
    'It has no connection left for this user. Set a lower POOL_SIZE for the servers, or raise the limit of the role, the database or PostgreSQL.',
  ],
  [/^57P0[1-3]$/, undefined, 'It is starting, stopping or recovering. Try again in a moment.'],
  // Privileges.
  [
    /^42501$/,
    /create extension/i,
    'Its user may not create the extension pg_trgm. Let an administrator do it once: create extension pg_trgm',
  ],
  [
    /^42501$/,
    /for schema public/i,
    'Its user may not create tables. Since PostgreSQL 15 only the owner of a database may: alter database NAME owner to USER, or: grant create on schema public to USER',
  ],
  [
    /^42501$/,
    /for database/i,
    'Its user may not create a schema. Make it the owner: alter database NAME owner to USER, or: grant create on database NAME to USER',
  ],
  [
    /^23505$/,
    /users_email_key/,
    'Two accounts have the same e-mail address in different spellings: other white space around it, or an internationalized domain and its punycode. Change one of them, and migrate again.',
  ],
  [/^42501$/, /must be owner/i, 'Another user owns the tables. Migrate with the user that migrated before.'],
  [
    /^42501$/,
    undefined,
    'Its user lacks privileges. Use the user that migrates, or grant it what docs/deploy-node.md lists.',
  ],
  // Extensions and schemas.
  [
    /^(0A000|58P01|XX000)$/,
    /pg_trgm|extension/i,
    'PostgreSQL lacks the extension pg_trgm. Install its contrib modules (on Debian and Ubuntu they belong to the package postgresql-VERSION, elsewhere to postgresql-contrib).',
  ],
  [
    /^42704$/,
    /gin_trgm_ops/,
    'The extension pg_trgm is in a schema that its user may not use. Allow it: grant usage on schema NAME to USER, or move it: alter extension pg_trgm set schema public',
  ],
  [/^3F000$/, undefined, 'It has no schema public. Create it: create schema public authorization USER'],
  [
    /^(42P07|42710|42723|42701)$/,
    undefined,
    'It has tables or functions of another program with the same names. Use an empty database.',
  ],
  // Modes.
  [
    /^25006$/,
    undefined,
    'It is read-only. Use the URL of the primary server, or turn off its default_transaction_read_only.',
  ],
  [
    /^(26000|42P05)$/,
    undefined,
    'Its pooler does not support prepared statements. Add pgbouncer=true, or use the direct URL.',
  ],
  [/^(55P03|57014|40P01)$/, undefined, 'It was busy or the statement was cancelled. Nothing has changed: try again.'],
  [/^53100$/, undefined, 'Its disk is full.'],
]

/** Returns a sentence that says why a database cannot be used and what to do about it. It has none of the URL's values. */
export function adviceFor(error: unknown): string {
  const { message = '' } = rootCause(error) as Partial<Error>
  const code = codeOf(error)
  const parameter = /parameter:? "?([a-z_][\w.]*)"?/i.exec(message)?.[1]
  if (parameter && /^(42704|22023|55P02|42501|08P01|42601|42602|22P02)$/.test(code)) {
    return `DATABASE_URL has the parameter ${parameter}, which the server ${refusal(code)}. Correct or remove it.`
  }
  const advice = advices.find(([codes, pattern]) => codes.test(code) && (pattern?.test(message) ?? true))
  return advice?.[2] ?? 'Check that it is running and that DATABASE_URL is right.'
}

function refusal(code: string) {
  if (code === '22023' || code === '22P02') return 'does not accept with this value'
  return code === '42501' ? 'does not let this user set' : 'does not know or does not let clients set'
}
