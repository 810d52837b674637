/** The seccomp profile that container runtimes use by default, in the form that a runtime's configuration has. */

/** A profile as containers-common ships it: rules depend on capabilities and architectures. */
export interface SeccompProfile {
  defaultAction: string
  defaultErrnoRet?: number
  archMap: { architecture: string; subArchitectures?: string[] | null }[]
  syscalls: {
    names: string[]
    action: string
    errnoRet?: number
    args?: { index: number; value: number; valueTwo: number; op: string }[] | null
    includes?: Condition
    excludes?: Condition
  }[]
}

interface Condition {
  caps?: string[]
  arches?: string[]
}

/** OCI runtime specification, `linux.seccomp`. */
export interface Seccomp {
  defaultAction: string
  defaultErrnoRet?: number
  architectures: string[]
  syscalls: { names: string[]; action: string; errnoRet?: number; args?: object[] }[]
}

const architectures: Readonly<Record<string, { short: string; seccomp: string }>> = {
  x64: { short: 'amd64', seccomp: 'SCMP_ARCH_X86_64' },
  arm64: { short: 'arm64', seccomp: 'SCMP_ARCH_AARCH64' },
}

/** What is left of a profile for a container with these capabilities (`CAP_…`) on this architecture (Node's name). */
export function seccompFor(profile: SeccompProfile, capabilities: readonly string[], arch: string): Seccomp {
  const own = architectures[arch]
  if (own === undefined) throw new Error(`no seccomp profile for ${arch}`)
  const applies = ({ includes = {}, excludes = {} }: SeccompProfile['syscalls'][number]): boolean =>
    (includes.caps ?? []).every((each) => capabilities.includes(each)) &&
    (includes.arches === undefined || includes.arches.includes(own.short)) &&
    !(excludes.caps ?? []).some((each) => capabilities.includes(each)) &&
    excludes.arches?.includes(own.short) !== true
  const map = profile.archMap.find(({ architecture }) => architecture === own.seccomp)
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: [own.seccomp, ...(map?.subArchitectures ?? [])],
    syscalls: profile.syscalls.filter(applies).map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      ...(args ? { args } : {}),
    })),
  }
}
