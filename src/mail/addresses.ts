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
