import type { Tag } from './openapi.ts'
import { type ProblemCode, problems } from './problem.ts'

const codesByStatus = Map.groupBy(Object.keys(problems) as ProblemCode[], (code) => problems[code][0])

const errors = [...codesByStatus]
  .toSorted(([one], [other]) => one - other)
  .map(([status, codes]) => `| ${status} | ${codes.map((code) => `\`${code}\``).join(', ')} |`)

const description = `Docket keeps track of assignments: who has to do what, and how far it is.

## Your first assignment

1. Below **Accounts**, open **Sign up and get an activation code by mail**. Put your own address and a password into the body, and click **Execute**.
2. Read the code in the mail. If this server sends no mail, the code is in the terminal that the server runs in.
3. Open **Activate an account with its mailed code**, put the code into the body, and click **Execute**.
4. Open **Log in and get a token**, put your address and password into the body, and click **Execute**. Copy the \`token\` of the response, without its quotes.
5. Click **Authorize**, at the right above the operations. Paste the token, click **Authorize** again, and then **Close**. From now on each request sends it.
6. Below **Assignments**, open **Create an assignment** and click **Execute**. The response has your assignment with its \`id\`.

For a colleague who has signed up in the same way, add \`"assignee": "colleague@example.com"\` to the body in step 6. When the work is done, open **Change some fields of an assignment**, paste the \`id\`, and click **Execute**: its example sets the status to \`done\`. **Report events per hour, day, week or month** then counts it. Assignments name people by id; **List the people you share assignments with** has their names.

## Errors

Every error is an [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem. Programs branch on its \`code\`, and handle an unknown code by its status. \`errors\` lists every invalid input at once.

| status | codes |
|---|---|
${errors.join('\n')}

A token is checked first: a bad one is a 401, whatever else is wrong. A method that a path does not have is a 405 with \`Allow\`.

## Compatibility

Requests are strict: an unknown field or parameter is an error. Responses are open: later versions may add fields, codes and headers, and clients ignore those that they do not know.`

/** The introduction of the OpenAPI document and of its page. */
export const info = {
  title: 'Docket',
  description,
  license: { name: 'MIT', identifier: 'MIT' },
  contact: { name: 'The operator of this server' },
}

export const tags: Tag[] = [
  { name: 'Accounts', description: 'Sign up, log in and out, and manage your name, address, password and sessions.' },
  { name: 'Assignments', description: 'Create, find, change and delete assignments, and follow their changes.' },
  {
    name: 'Reports',
    description: 'See how many assignments were started and done, and how long it took, as numbers or charts.',
  },
  { name: 'Health', description: 'For load balancers and orchestrators.' },
]
