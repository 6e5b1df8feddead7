import { readdir, readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'

/** The layers of src, top to bottom. A file imports from its own layer and from lower ones; type imports count too. */
const LAYERS: [name: string, files: RegExp][] = [
  ['entry points', /^(node|worker)\.ts$/],
  ['runtimes and demo', /^(node|worker|demo)\//],
  ['app', /^(app|maintenance)\.ts$/],
  ['HTTP of events and reports', /^(events|reports)\/(.*routes|schemas|problems|limits)\.ts$/],
  ['HTTP of assignments', /^assignments\/(.*routes|schemas|problems|limits)\.ts$/],
  ['HTTP of accounts', /^accounts\/(.*routes|schemas|problems|limits)\.ts$/],
  ['HTTP', /^http\/(?!problem\.ts$)/],
  ['services', /^services\.ts$/],
  ['problem', /^http\/problem\.ts$/],
  ['events and reports', /^(events|reports)\//],
  ['assignments', /^assignments\//],
  ['mail', /^mail\//],
  ['accounts', /^accounts\//],
  ['database', /^database\/(?!url\.ts$)/],
  ['basics', /^((settings|concurrency|background|crypto|files|logger)|database\/url)\.ts$/],
]

/** Layers that know nothing of HTTP. */
const DOMAIN = ['events and reports', 'assignments', 'accounts', 'database', 'basics']

/** Files that only one runtime may load, with the entry points that may. */
const RUNTIME_ONLY: [files: RegExp, entries: string[]][] = [
  [/^(node|demo)\//, ['node.ts']],
  [/^(files|database\/(migrate|tls))\.ts$/, ['node.ts']],
  [/^worker\//, ['worker.ts']],
]

/** Files that may import Node's built-in modules. Workers have those that worker/ and the socket use. */
const USES_NODE_BUILT_INS = /^((node|files)\.ts$|node\/|worker\/|database\/(migrate|socket|tls)\.ts$)/

const source = new URL('../src/', import.meta.url)
const files = (await readdir(source, { recursive: true })).filter((file) => file.endsWith('.ts'))
const imports = new Map(
  await Promise.all(
    files.map(async (file) => [file, importsIn(await readFile(new URL(file, source), 'utf8'), file)] as const),
  ),
)

/** Returns what a file imports, exports from elsewhere or loads later: packages by name, own files by path below src. */
function importsIn(text: string, file: string): string[] {
  const statements = text.matchAll(/^(?:import|export)\b(?:[^'`;=]*?\bfrom)? '([^']+)'|\bimport\('([^']+)'\)/gm)
  return [...statements].map(([, first, later]) => {
    const specifier = (first ?? later) as string
    return specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : specifier
  })
}

const layerOf = (file: string) => LAYERS.findIndex(([, pattern]) => pattern.test(file))

/** Every import of one file by another, as a line that an error message can show. */
const edges = [...imports].flatMap(([from, targets]) => targets.map((to) => ({ from, to, line: `${from} → ${to}` })))
const ownEdges = edges.filter(({ to }) => imports.has(to))

describe('the source', () => {
  test('has each file in a layer', () => {
    expect(files.filter((file) => layerOf(file) < 0)).toEqual([])
    expect(ownEdges.length).toBeGreaterThan(100)
  })

  test('has no import cycle', () => {
    expect(findCycle()).toBeUndefined()
  })

  test('imports from lower layers only', () => {
    const upward = ownEdges.filter(({ from, to }) => layerOf(to) < layerOf(from))
    expect(upward.map(({ line }) => line)).toEqual([])
  })

  test('keeps reports and events apart', () => {
    const folderOf = (file: string) => file.split('/')[0]
    const across = ownEdges.filter(({ from, to }) =>
      `${folderOf(from)} ${folderOf(to)}`.match(/^(reports events|events reports)$/),
    )
    expect(across.map(({ line }) => line)).toEqual([])
  })

  test('keeps HTTP out of the domain', () => {
    const domain = DOMAIN.map((name) => LAYERS.findIndex(([layer]) => layer === name))
    // Templates of hono/html are markup, not HTTP.
    const isHttp = (name: string) => /^(@?hono\b(?!\/html)|http\/)/.test(name)
    const forbidden = edges.filter(({ from, to }) => domain.includes(layerOf(from)) && isHttp(to))
    expect(forbidden.map(({ line }) => line)).toEqual([])
  })

  test.each(['node.ts', 'worker.ts', 'app.ts'])('loads only its own runtime from %s', (entry) => {
    const foreign = RUNTIME_ONLY.filter(([, entries]) => !entries.includes(entry)).map(([pattern]) => pattern)
    const reached = [...reachableFrom(entry)]
    expect(reached.length).toBeGreaterThan(30)
    expect(reached.filter((file) => foreign.some((pattern) => pattern.test(file)))).toEqual([])
  })

  test('imports built-in modules of Node where a runtime has them', () => {
    const builtIns = edges.filter(({ to }) => to.startsWith('node:'))
    expect(builtIns.length).toBeGreaterThan(10)
    expect(builtIns.filter(({ from }) => !USES_NODE_BUILT_INS.test(from)).map(({ line }) => line)).toEqual([])
  })
})

function findCycle(): string | undefined {
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file].join(' → ')
    if (done.has(file)) return undefined
    for (const target of imports.get(file) ?? []) {
      const cycle = visit(target, [...path, file])
      if (cycle) return cycle
    }
    done.add(file)
    return undefined
  }
  return files.map((file) => visit(file, [])).find((cycle) => cycle !== undefined)
}

function reachableFrom(entry: string, reached = new Set<string>()): Set<string> {
  if (reached.has(entry) || !imports.has(entry)) return reached
  reached.add(entry)
  for (const target of imports.get(entry) ?? []) reachableFrom(target, reached)
  return reached
}
