import { test } from 'node:test'
import { portable } from './portable.ts'
import { suite } from './primitives.suite.ts'

for (const check of suite) test(`portable: ${check.name}`, () => check.run(portable))
