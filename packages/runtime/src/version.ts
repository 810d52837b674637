import manifest from '../package.json' with { type: 'json' }

/** Version of the whole system; its packages are released together. */
export const version = manifest.version
