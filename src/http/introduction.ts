import type { Tag } from './openapi.ts'
import { problems } from './problem.ts'

const errors = Object.entries(problems).map(([code, [status, title]]) => `| ${status} | \`${code}\` | ${title} |`)

const description = `Docket keeps track of assignments: who has to do what, and how far it is.

## Your first assignment

1. Under **Accounts**, open **Sign up and get an activation code by mail**, put your own address and a password into the body, and click **Execute**.
2. Read the code: in the mail or, if this server sends none, in the terminal that it runs in.
3. Open **Activate an account with its mailed code**, put the code into the body, and click **Execute**.
4. Open **Log in and get a token**, put in your address and password, click **Execute**, and copy the \`token\` of the response, without its quotes.
5. Click **Authorize** at the top right, paste the token, click **Authorize** and then **Close**. From now on each request sends it.
6. Under **Assignments**, open **Create an assignment** and click **Execute**. To assign it to a colleague with an account, add \`"assignee": "colleague@example.com"\`.

Then open **List, filter, search and sort your assignments**, change one to \`done\`, and see it counted by the reports.

## Errors

Every error is an [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem. Programs should branch on its \`code\`, and handle an unknown code by its status.

| status | code | meaning |
|---|---|---|
${errors.join('\n')}

A request with a token is checked for it first: a bad token is a 401, whatever else is wrong. The method of a known path that has none is a 405, with \`Allow\`.

## Compatibility

Requests are strict: an unknown field or parameter is an error. Responses are open: later versions may add fields, codes and headers, which clients ignore.`

/** The introduction of the OpenAPI document and of its page. */
export const info = {
  title: 'Docket',
  description,
  license: { name: 'MIT', identifier: 'MIT' },
  contact: { name: 'The operator of this server' },
}

export const tags: Tag[] = [
  { name: 'Accounts', description: 'Sign up, log in and out, and manage your name, password and sessions.' },
  { name: 'Assignments', description: 'Create, find, change and delete assignments, and follow their changes.' },
  {
    name: 'Reports',
    description: 'See how many assignments were started and done, and how long it took, as numbers or charts.',
  },
  { name: 'Health', description: 'For load balancers and orchestrators.' },
]
