import { compareDays } from '../reference/local-days.ts'

// A process of its own, whose TZ cannot be changed later. It prints the differences and a digest of all days.
const [first = '1970', last = '2037', ...zones] = process.argv.slice(2)
const compared = zones.map((zone) => compareDays(zone, Number(first), Number(last)))
console.log(
  JSON.stringify({
    differences: compared.flatMap(({ differences }) => differences),
    digest: compared.map(({ digest }) => digest).join(),
  }),
)
