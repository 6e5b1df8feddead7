/**
 * Returns a text in the full case folding of Unicode, composed, as `fold()` of the database does. The foldings are those of
 * CaseFolding.txt (statuses C and F), derived from the case mappings of JavaScript. The folding of İ is i.
 */
export const fold = (text: string) =>
  [...text.normalize('NFD')]
    .map(foldLetter)
    .join('')
    .replaceAll(/i\u0307+/g, 'i')
    .normalize('NFC')

function foldLetter(letter: string): string {
  // The capital letters of Cherokee are older than the small ones. Only Turkic languages have I for ı.
  if (/\p{Script=Cherokee}/u.test(letter)) return letter.toUpperCase()
  return letter === 'ı' ? letter : letter.toLowerCase().toUpperCase().toLowerCase()
}
