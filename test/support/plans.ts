import type postgres from 'postgres'

export type Plan = { 'Node Type': string; Plans?: Plan[] } & Record<string, string | number | undefined>

/** A statement as the app sent it, from the `debug` option of its connection. */
export type Asked = { text: string; parameters: unknown[] }

export const modes = ['force_custom_plan', 'force_generic_plan'] as const

/**
 * How the database runs a statement that the app sent, planned for its values or, as prepared ones are after a while, for
 * any: the nodes of its plan.
 */
export async function explain(
  client: postgres.Sql,
  { text, parameters }: Asked,
  mode: (typeof modes)[number],
): Promise<Plan[]> {
  return client.begin(async (transaction) => {
    await transaction.unsafe(`set local plan_cache_mode = ${mode}`)
    await transaction.unsafe(`prepare explained as ${text}`)
    const values = parameters.length > 0 ? `(${parameters.map(literal).join(', ')})` : ''
    const [row] = await transaction.unsafe(`explain (analyze, format json) execute explained${values}`)
    await transaction.unsafe('deallocate explained')
    return flatten(row?.['QUERY PLAN'][0].Plan)
  })
}

const flatten = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flatten)]

const literal = (value: unknown) => {
  if (value === null || value === undefined) return 'null'
  return `'${value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : String(value).replaceAll("'", "''")}'`
}
