/** Bundles of ASCII only. */
import type { Plugin } from 'rolldown'

/**
 * Writes every other character as its escape, which strings, templates and patterns read alike: V8 keeps a program's text for
 * as long as it runs, in two bytes a character where a single one needs it.
 */
export function asciiOnly(): Plugin {
  return {
    name: 'ascii-only',
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue
        // Text that is read as it is written, and a character that is escaped already, would change.
        if (/\bString\.raw\b|\\[^\0-\x7f]/.test(chunk.code))
          this.error(`${chunk.fileName}: expected no raw text and no escape of it`)
        chunk.code = chunk.code.replaceAll(
          /[^\0-\x7f]/g,
          (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
        )
      }
    },
  }
}
