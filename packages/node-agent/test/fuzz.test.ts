import { testClasses } from '../../../test/fuzz/src/unit.ts'
import { classes } from './fuzz-classes.ts'

testClasses(classes)
