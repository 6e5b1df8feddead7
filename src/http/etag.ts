/** Returns the entity tag of a version. */
export const etagOf = ({ version }: { version: number }) => `"${version}"`

/**
 * Returns the versions that an If-Match or If-None-Match header names (RFC 9110, 13.1), or `any` for `*`; undefined if it has
 * something else than entity tags. A proxy that compresses makes a tag weak or appends its encoding: `W/"3"`, `"3-gzip"`,
 * `"3;br"`. Such a tag still names version 3, and so does a bare `3`. Other tags name nothing.
 */
export function namedVersions(header: string): number[] | 'any' | undefined {
  if (header.trim() === '*') return 'any'
  // A quoted tag may contain commas.
  const tags = (header.match(/("[^"]*"|[^,])+/g) ?? []).map((tag) => tag.trim()).filter(Boolean)
  if (tags.length === 0 || !tags.every((tag) => ENTITY_TAG.test(tag))) return undefined
  return tags.flatMap((tag) => VERSION_TAG.exec(tag)?.slice(1).find(Boolean) ?? []).map(Number)
}

// An entity tag (RFC 9110, 8.8.3), or a number without quotes.
const TAG = '(?:(?:W/)?"[!#-~\\u0080-\\uffff]*"|\\d+)'

const ENTITY_TAG = new RegExp(`^${TAG}$`)

/** The pattern of `*` and of lists of entity tags, for the document. */
export const TAGS_PATTERN = `^\\s*(?:\\*|(?:,\\s*)*${TAG}(?:\\s*,\\s*(?:${TAG})?)*)\\s*$`

const VERSION_TAG = /^(?:W\/)?"([1-9]\d{0,8})(?:[-;:+._]+[a-zA-Z][\w-]*)?"$|^([1-9]\d{0,8})$/
