/**
 * Returns an e-mail address with its domain in ASCII, an internationalized one as punycode (UTS 46). Returns undefined if the
 * domain cannot be one.
 */
export function toAsciiAddress(address: string): string | undefined {
  const [local, domain] = [address.slice(0, address.lastIndexOf('@') + 1), address.slice(address.lastIndexOf('@') + 1)]
  // URL would also turn numbers into an IPv4 address and decode `%`, so it gets nothing but what it is needed for.
  if (/^\p{ASCII}*$/u.test(domain)) return address
  if (/[\s/?#\\:@[\]%\p{Default_Ignorable_Code_Point}]/u.test(domain) || !URL.canParse(`http://${domain}`))
    return undefined
  const { hostname } = new URL(`http://${domain}`)
  return /^[\d.]+$/.test(hostname) ? undefined : local + hostname
}

/**
 * Returns a text that is the same for all spellings of an address that the database compares as equal (`address_key`), so
 * that limits cannot be avoided by another spelling. Different addresses may share one.
 */
export function addressSubject(address: string): string {
  const start = address.lastIndexOf('@') + 1
  const domain = address.slice(start)
  // The database maps no domain of more than 253 characters, and normalizing a long text is slow.
  if (domain.length > 2 * 253) return address.toLowerCase()
  const lower = domain.normalize('NFKC').replaceAll('Σ', 'σ').replaceAll('İ', 'i\u0307').toLowerCase()
  const normalized = address.slice(0, start) + lower.normalize('NFKC').replaceAll('。', '.')
  return (toAsciiAddress(normalized) ?? normalized).toLowerCase()
}
