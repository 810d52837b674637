/**
 * Kubernetes objects judged strictly, offline: the schemas' own validation takes keys that it does not know, but to the
 * compiler an object literal with an unknown key at any depth is an error.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'

export interface KubernetesObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string }
}

/** Packages that have the types of API groups other than Kubernetes' own. */
const packages: Readonly<Record<string, string>> = {
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator',
}

/** What no package has types of; the lab attaches pods from each. */
const foreign = new Set(['NetworkAttachmentDefinition'])

const here = fileURLToPath(new URL('..', import.meta.url))

/** The compiler's complaints, one line each. */
export async function strictProblems(objects: readonly KubernetesObject[]): Promise<string[]> {
  // Below this directory, so that the types are found.
  const directory = await mkdtemp(join(here, '.strict-'))
  try {
    const known = objects.filter(({ kind }) => !foreign.has(kind))
    const imports = [...new Set(known.map(importOf))]
    const values = known.map(
      (object, index) => `export const v${index} = ${JSON.stringify(object)} satisfies ${typeOf(object)}`,
    )
    await writeFile(join(directory, 'objects.ts'), `${[...imports, ...values].join('\n')}\n`)
    const config = {
      compilerOptions: {
        module: 'nodenext',
        target: 'esnext',
        noEmit: true,
        strict: true,
        skipLibCheck: true,
        types: [],
      },
      files: ['objects.ts'],
    }
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(config))
    const { stdout, exitCode } = await execa('tsc', ['-p', directory], {
      reject: false,
      preferLocal: true,
      localDir: here,
    })
    const lines = stdout.split('\n').filter((line) => line.includes('error TS') || /^\s+/.test(line))
    return exitCode === 0 ? [] : lines.length > 0 ? lines : [`tsc ended with ${exitCode}: ${stdout}`]
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** `apps/v1` and `networking.k8s.io/v1` are directories of the package; `v1` is that of core. */
function importOf(object: KubernetesObject): string {
  const from = packages[object.apiVersion] ?? 'kubernetes-models'
  return `import type { I${object.kind} as ${typeOf(object)} } from '${from}/${object.apiVersion}'`
}

function typeOf({ apiVersion, kind }: KubernetesObject): string {
  return `${kind}_${apiVersion.replaceAll(/[^a-z0-9]/g, '_')}`
}
