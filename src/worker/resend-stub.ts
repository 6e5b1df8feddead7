// wrangler.toml puts this file in place of postal-mime and standardwebhooks. Resend's client needs them only to receive mail,
// and Docket only sends. With them the gzipped Worker would have 192 KB instead of 166 KB.
export default undefined
export const Webhook = undefined
