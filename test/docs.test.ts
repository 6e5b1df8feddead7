import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = new URL('..', import.meta.url).pathname
const pages = [
  ...(await readdir(root)).filter((file) => file.endsWith('.md')),
  ...(await listMarkdown('docs')),
  ...(await listMarkdown('bench')),
]

async function listMarkdown(folder: string): Promise<string[]> {
  if (!existsSync(join(root, folder))) return []
  const files = await readdir(join(root, folder), { recursive: true })
  return files.filter((file) => file.endsWith('.md')).map((file) => join(folder, file))
}

const readPage = (page: string) => readFile(join(root, page), 'utf8')

describe.each(pages)('%s', (page) => {
  test('names only files that exist', async () => {
    const missing = pathsIn(await readPage(page)).filter((path) => !existsSync(join(root, path)))
    expect(missing).toEqual([])
  })

  test('has only relative links that resolve', async () => {
    const broken: string[] = []
    for (const link of linksIn(await readPage(page))) {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : relative(root, join(root, dirname(page), decodeURIComponent(path)))
      const exists = existsSync(join(root, target))
      if (!exists || (anchor && !anchorsIn(await readPage(target)).includes(anchor))) broken.push(link)
    }
    expect(broken).toEqual([])
  })
})

test('docs/clients.md shows lines of the stories that are tested', async () => {
  const files = (await readdir(join(root, 'test/clients'))).filter((file) => /(?<!config)\.(ts|py)$/.test(file))
  const stories = await Promise.all(files.map(async (file) => linesIn(await readPage(`test/clients/${file}`))))
  const blocks = [...(await readPage('docs/clients.md')).matchAll(/^```(?:ts|python)\n([\s\S]*?)^```$/gm)]
  expect(blocks.length).toBeGreaterThan(6)
  const unknown = blocks.flatMap(([, block = '']) => {
    const missing = stories.map((story) => linesIn(block).filter((line) => !story.includes(line)))
    return missing.sort((a, b) => a.length - b.length)[0] ?? []
  })
  expect(unknown).toEqual([])
})

const linesIn = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)

/** Returns the paths of tests and sources in backticks, with braces expanded and without a line or a glob at their ends. */
function pathsIn(markdown: string): string[] {
  const spans = [...withoutCodeBlocks(markdown).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code as string)
  return spans
    .filter((code) => /^(test|src|bench|docs|\.ci)\/[\w./{},*-]*$/.test(code))
    .flatMap(expandBraces)
    .map((path) => path.replace(/\*.*$/, ''))
}

function expandBraces(path: string): string[] {
  const [, start, choices, end] = /^(.*?)\{([^}]*)\}(.*)$/.exec(path) ?? []
  if (choices === undefined) return [path]
  return choices.split(',').flatMap((choice) => expandBraces(`${start}${choice}${end}`))
}

/** Returns the links and images without a scheme. */
function linksIn(markdown: string): string[] {
  const text = withoutCodeBlocks(markdown).replace(/`[^`\n]*`/g, '')
  const inline = [...text.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)]
  const definitions = [...text.matchAll(/^\[[^\]]+\]:\s+(\S+)/gm)]
  const html = [...text.matchAll(/\b(?:src|href)="([^"]+)"/g)]
  return [...inline, ...definitions, ...html]
    .map(([, link]) => link as string)
    .filter((link) => !/^[a-z][a-z+.-]*:|^\/\//i.test(link))
}

/** Returns the anchors of headings, as GitHub makes them. */
function anchorsIn(markdown: string): string[] {
  const counts = new Map<string, number>()
  return [...withoutCodeBlocks(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)].map(([, heading]) => {
    const text = (heading as string).replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    const anchor = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')
    const count = counts.get(anchor) ?? 0
    counts.set(anchor, count + 1)
    return count === 0 ? anchor : `${anchor}-${count}`
  })
}

const withoutCodeBlocks = (markdown: string) => markdown.replace(/^( *)(```|~~~)[\s\S]*?^\1\2$/gm, '')
