import { type AnyColumn, type SQL, sql } from 'drizzle-orm'

type Text = AnyColumn | SQL | string

/** Tells whether PostgreSQL can store a text: it has no NUL and, to be UTF-8, no lone surrogate. */
export const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

/** Returns an e-mail address as it is compared: in ASCII's lower case, with an internationalized domain as punycode (RFC 5891). */
export const addressKey = (email: Text) => sql`address_key(${email})`

/** Returns a text as it is searched and sorted: in Unicode's full case folding, so ß is ss, and composed (NFC). */
export const folded = (text: Text) => sql`fold(${text})`

/** Returns the searched text of an assignment. The quotation mark, which no term contains, keeps terms from matching across. */
export const searchText = (name: Text, description: Text) => sql`(${folded(name)} || '"' || ${folded(description)})`

/** Returns a name as it is sorted: by the bytes of the folded text, whatever the collation of the database. */
export const nameOrder = (name: Text) => sql`(${folded(name)} collate "C")`
