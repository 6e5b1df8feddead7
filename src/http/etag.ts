/** Returns the entity tag of a version. */
export const etagOf = ({ version }: { version: number }) => `"${version}"`

/**
 * Returns the versions that an If-Match or If-None-Match header names (RFC 9110, 13.1), or `any` for `*`. A proxy that
 * compresses makes a tag weak or appends its encoding: `W/"3"`, `"3-gzip"`, `"3;br"`. Such a tag still names version 3,
 * and so does a bare `3`. Anything else names nothing.
 */
export function namedVersions(header: string): number[] | 'any' {
  if (header.trim() === '*') return 'any'
  // A quoted tag may contain commas.
  const tags = header.match(/("[^"]*"|[^,])+/g) ?? []
  return tags.flatMap((tag) => VERSION_TAG.exec(tag.trim())?.slice(1).find(Boolean) ?? []).map(Number)
}

const VERSION_TAG = /^(?:W\/)?"([1-9]\d{0,8})(?:[-;:+._]+[a-zA-Z][\w-]*)?"$|^([1-9]\d{0,8})$/
