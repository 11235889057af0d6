/** Files a document and is killed in the moment between writing it aside and giving it its name. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { utf8 } from '@cloister/core/bytes/text'
import { openCollateral } from './store.ts'

fs.renameSync = () => process.kill(process.pid, 'SIGKILL')
syncBuiltinESMExports()
openCollateral(process.argv[2] ?? '').put({ kind: 'amd-crl', about: { product: 'Genoa' }, notBefore: 100, notAfter: 200, bytes: utf8('torn') }, 1)
