import { z } from '@hono/zod-openapi'
import { event_kinds, statuses } from '../database/schema.ts'
import { id, instant } from '../openapi.ts'

export const status = z.enum(statuses).openapi({ example: 'in progress' })
const version = z.int().openapi({ example: 3 })

const example = {
  id: '01986f5e-7c00-7000-8000-0123456789ab',
  name: 'Write the report',
  description: 'Two pages, with figures.',
  status: 'in progress' as const,
  assignee: '01986f5e-7c00-7000-8000-00000000000a',
  creator: '01986f5e-7c00-7000-8000-00000000000b',
  created_at: '2026-11-22T10:00:00.000Z',
  updated_at: '2026-11-23T09:30:00.000Z',
  version: 3,
}

const columns = { name: z.string(), description: z.string(), status, assignee: id, creator: id, version }

/** An assignment as its creator and its assignee see it. */
export const AssignmentShown = z
  .strictObject({ id, ...columns, created_at: instant, updated_at: instant })
  .openapi('Assignment', { example })

const { created_at: at, updated_at: _, ...was } = example
/** A change, and the assignment as it was afterwards. */
export const Event = z
  .strictObject({
    ...{ id, at: instant, kind: z.enum(event_kinds), actor: id, assignment: id },
    ...columns,
    changed: z.array(z.enum(['name', 'description', 'status', 'assignee'])),
  })
  .openapi('Event', {
    example: { ...was, at, kind: 'changed', actor: was.creator, assignment: was.id, changed: ['status'] },
  })
