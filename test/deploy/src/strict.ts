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

/** Kinds of others, which no schema of Kubernetes describes. */
const foreign = new Set(['NetworkAttachmentDefinition', 'PodMonitor', 'PrometheusRule'])

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
  return `import type { I${object.kind} as ${typeOf(object)} } from 'kubernetes-models/${object.apiVersion}'`
}

function typeOf({ apiVersion, kind }: KubernetesObject): string {
  return `${kind}_${apiVersion.replaceAll(/[^a-z0-9]/g, '_')}`
}
