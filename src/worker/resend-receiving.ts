// What stands in the Worker for the parts of Resend's client that receive mail: a fifth of the bundle, and of no use here.

/** Takes no mail apart. */
export default class PostalMime {}

/** Verifies no webhook. */
export class Webhook {}
