import type postgres from 'postgres'
import { until } from './wait.ts'

export type PlanNode = { 'Node Type': string; Plans?: PlanNode[] } & Record<string, string | number | undefined>

/** A statement that the app sent, from the `debug` option of its connection. */
export type Statement = { text: string; parameters: unknown[] }

export const planModes = ['force_custom_plan', 'force_generic_plan'] as const

/**
 * Runs a statement of the app and returns the nodes of its plan, which is made for its values or, as prepared statements get
 * it after some runs, for any values.
 */
export async function explain(
  client: postgres.Sql,
  { text, parameters }: Statement,
  mode: (typeof planModes)[number],
): Promise<PlanNode[]> {
  return client.begin(async (transaction) => {
    await transaction.unsafe(`set local plan_cache_mode = ${mode}`)
    await transaction.unsafe(`prepare explained as ${text}`)
    const values = parameters.length > 0 ? `(${parameters.map(toLiteral).join(', ')})` : ''
    const [row] = await transaction.unsafe(`explain (analyze, format json) execute explained${values}`)
    await transaction.unsafe('deallocate explained')
    return flatten(row?.['QUERY PLAN'][0].Plan)
  })
}

/** Vacuums a database until all its rows are visible to index-only scans. An older transaction can delay that. */
export async function vacuum(client: postgres.Sql) {
  await until(async () => {
    await client`vacuum analyze`
    const [table] = await client`
      select from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relallvisible < relpages limit 1`
    return table === undefined
  })
}

const flatten = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(flatten)]

const toLiteral = (value: unknown) => {
  if (value === null || value === undefined) return 'null'
  return `'${value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : String(value).replaceAll("'", "''")}'`
}
