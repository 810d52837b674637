import manifest from '../package.json' with { type: 'json' }

/** Version of the whole system, and tag of its images; its packages are released together. */
export const version = manifest.version
