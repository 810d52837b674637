import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readPodTemplate } from '../src/container/pod-template.ts'
import { runtimeConfig } from '../src/container/runtime-config.ts'
import { seccompFor, type SeccompProfile } from '../src/container/seccomp.ts'
import { repositoryRoot } from '../src/paths.ts'

const profile: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
  syscalls: [
    { names: ['read'], action: 'SCMP_ACT_ALLOW', includes: {}, excludes: {} },
    { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['mount'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, excludes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['arm_fadvise64_64'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
  ],
}
const request = {
  image: { Entrypoint: ['tini', '--', 'node', 'agent.mjs'], Env: ['PATH=/bin'] },
  name: 'router-1',
  root: '/root-of-it',
  networkNamespace: '/run/netns/router-1',
  volumes: { system: '/a', run: '/b', modules: '/c', tunnels: '/d' },
  seccomp: profile,
}
const base = join(repositoryRoot(), 'deploy/base')

describe('the seccomp profile', () => {
  test('keeps the rules that fit the capabilities and the architecture', () => {
    const { syscalls, architectures } = seccompFor(profile, ['CAP_NET_ADMIN'], 'x64')
    expect(syscalls.map(({ names, action }) => [names[0], action])).toEqual([
      ['read', 'SCMP_ACT_ALLOW'],
      ['mount', 'SCMP_ACT_ERRNO'],
    ])
    expect(architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'])
  })
})

describe('a container as the router of deploy/ has it', () => {
  test('has its arguments, sysctls and volumes, and a read-only root', async () => {
    const template = await readPodTemplate(base, 'router')
    expect(runtimeConfig({ ...request, template })).toMatchObject({
      process: {
        args: expect.arrayContaining(['tini', '--name', 'router-1', '--router-interface', 'net2']) as string[],
        env: ['PATH=/bin', 'NAME=router-1'],
        noNewPrivileges: true,
      },
      root: { readonly: true },
      linux: { sysctl: { 'net.ipv4.ping_group_range': '0 0' } },
      mounts: expect.arrayContaining([
        { destination: '/run/vpn-gateway', type: 'bind', source: '/b', options: ['rbind', 'rprivate', 'rw'] },
        { destination: '/etc/vpn-gateway', type: 'bind', source: '/a', options: ['rbind', 'rprivate', 'ro'] },
      ]) as object[],
    })
  })

  test.each([
    ['privilege', { privileged: true }, /without privilege/],
    ['capabilities that are not dropped', { capabilities: { add: ['NET_ADMIN'] } }, /drop to have ALL/],
  ])('is refused with %s', async (_, change, problem) => {
    const template = await readPodTemplate(base, 'router')
    Object.assign(template.container.securityContext, change)
    expect(() => runtimeConfig({ ...request, template })).toThrow(problem)
  })
})
