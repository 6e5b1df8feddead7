const words = (text: string) => text.trim().split(/,\s+/)
const sentences = (text: string) => text.trim().split(/(?<=\.)\s+/)

/** The password of all demo accounts. It is public, so the demo never gets into a database with other accounts. */
export const PASSWORD = 'a year of small steps'

export const TIMEZONE = 'Europe/Berlin'

/** `demand` is the member's share of new assignments, 1 on average. `leave` is from and to, as month and day. */
export const members = [
  { email: 'mira@example.com', first_name: 'Mira', last_name: 'Lindqvist', demand: 1.7, leave: '07-20/08-07' },
  { email: 'jonas@example.com', first_name: 'Jonas', last_name: 'Weber', demand: 0.7, leave: '04-07/04-17' },
  { email: 'aylin@example.com', first_name: 'Aylin', last_name: 'Kaya', demand: 0.9, leave: '05-18/05-29' },
  { email: 'tomas@example.com', first_name: 'Tomás', last_name: 'Pereira', demand: 0.7, leave: '09-21/10-02' },
] as const

export const holidays = ['12-23/12-31', '01-01/01-03', '03-08/03-08', '05-01/05-01', '10-03/10-03']

/** A verb and an object of one kind of work and a place make a name. A reason and a remark make a description. */
export const work = [
  {
    verbs: words('Fix, Track down, Reproduce, Look into'),
    objects: words(`
      the wrong totals in, the missing umlauts in, the slow first load of, the duplicate rows in, the lost filter in,
      the stale prices in, the doubled e-mails from, the time-outs of, the empty second page of`),
    reasons: sentences(`
      Two customers wrote in about it. It came with the last release. Support has the screenshots.
      It seems to happen on Mondays only. The log shows it around four in the morning.`),
  },
  {
    verbs: words('Build, Sketch, Try out, Finish'),
    objects: words(`
      a bulk edit for, a preview for, a keyboard shortcut for, an undo for, a date filter for, a print view for,
      a reminder for, a progress bar for, a first-steps tour for`),
    reasons: sentences(`
      Our customers' most frequent request. A small version is enough. The drafts are in the folder.
      It saves the front desk an hour a week. Promised to the pilot customers.`),
  },
  {
    verbs: words('Write, Review, Translate, Update'),
    objects: words(`
      the guide to, the help page of, the release notes of, the FAQ about, the error messages of, the welcome mail for,
      the privacy notice of, the training slides about`),
    reasons: sentences(`
      The current text is a year old. German and English, two pages at most. With new screenshots.
      Half of the questions to support are about it. Legal wants to read it first.`),
  },
]

export const places = words(`
  booking form, invoice template, customer export, mobile app, partner portal, weekly report, price list, sign-up form,
  stock list, ticket inbox, newsletter, room calendar, payment step, site search`)

export const remarks = sentences(`
  Half a day at most. Before the next release, please. No hurry. The notes of the last planning have the details.
  Keep the old way working for now. Done after a day on staging. Ask before you change what customers see.`)
