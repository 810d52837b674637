import { testClasses } from '../../../test/fuzz/src/unit.ts'

await testClasses(new URL('fuzz-classes.ts', import.meta.url))
