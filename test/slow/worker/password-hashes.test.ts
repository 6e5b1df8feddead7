import { test } from 'vitest'
import { COSTLY_HASHES, expectLogin } from '../../reference/django-hashes.ts'
import { openDocket } from '../../support/fixtures.ts'

const docket = await openDocket({}, { kdf: 'real' })

test.each(COSTLY_HASHES)('a costly hash imported from Django lets its user log in: %s', async (...hash) =>
  expectLogin(docket, hash),
)
