/** What a container runtime is told to run an agent as the manifests say: config.json of the OCI runtime specification. */
import type { PodTemplate } from './pod-template.ts'
import { type SeccompProfile, seccompFor } from './seccomp.ts'

export interface ImageConfig {
  Entrypoint: string[]
  Env: string[]
}

export interface ContainerRequest {
  template: PodTemplate
  image: ImageConfig
  /** Name of the pod or node. */
  name: string
  /** Root file system, with a writable layer of its own as runtimes make it; whether it is read-only says the template. */
  root: string
  /** Network namespace of the pod, or of the node for a pod on its node's network. */
  networkNamespace: string
  /** Directory or file on the machine for each volume of the pod, by the volume's name. */
  volumes: Readonly<Record<string, string>>
  seccomp: SeccompProfile
}

/** Paths that runtimes hide or protect in every container that is not privileged. */
const masked = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]
const readOnly = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

const kernelMounts = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
  },
  { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'size=65536k'] },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
]

/** What the kubelet gives every container, read-only here; from the namespace that the runtime is started in. */
const names = ['/etc/hosts', '/etc/resolv.conf'].map((path) => ({
  destination: path,
  type: 'bind',
  source: path,
  options: ['bind', 'rprivate', 'ro'],
}))

/** Environment of the container, as name and value. */
function environmentOf({ template, image, name }: ContainerRequest): Map<string, string> {
  const own = (template.container.env ?? []).map((each): [string, string] => {
    const path = each.valueFrom?.fieldRef?.fieldPath
    const value = path === 'metadata.name' || path === 'spec.nodeName' ? name : each.value
    if (value === undefined) throw new Error(`environment ${each.name}: the lab does not know its value`)
    return [each.name, value]
  })
  const fromImage = image.Env.map((line): [string, string] => {
    const split = line.indexOf('=')
    return [line.slice(0, split), line.slice(split + 1)]
  })
  return new Map([...fromImage, ...own])
}

/** What a container keeps: nothing but what it asks for, since all of ours drop everything first. */
function capabilitiesOf({ container }: PodTemplate): string[] {
  const { drop = [], add = [] } = container.securityContext.capabilities ?? {}
  if (!drop.includes('ALL')) throw new Error(`${container.name}: expected capabilities.drop to have ALL`)
  return add.map((name) => `CAP_${name}`)
}

/** Makes config.json. Throws for what the template asks for and no container of ours should: privilege above all. */
export function runtimeConfig(request: ContainerRequest): object {
  const { template, image, name, root, networkNamespace, volumes } = request
  const { container, securityContext: pod = {} } = template
  const { securityContext: own } = container
  if (own.privileged === true) throw new Error(`${container.name}: expected a container without privilege`)
  if (pod.seccompProfile?.type !== 'RuntimeDefault') throw new Error(`${container.name}: expected RuntimeDefault`)
  const environment = environmentOf(request)
  const expand = (text: string): string =>
    text.replaceAll(/\$\((\w+)\)/g, (whole, key: string) => environment.get(key) ?? whole)
  const capabilities = capabilitiesOf(template)
  return {
    ociVersion: '1.0.2',
    hostname: name,
    process: {
      terminal: false,
      cwd: '/',
      user: { uid: own.runAsUser ?? 0, gid: own.runAsGroup ?? 0 },
      args: [...image.Entrypoint, ...container.args.map(expand)],
      env: [...environment].map(([key, value]) => `${key}=${value}`),
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: own.allowPrivilegeEscalation === false,
    },
    root: { path: root, readonly: own.readOnlyRootFilesystem === true },
    mounts: [
      ...kernelMounts,
      ...names,
      ...container.volumeMounts.map((mount) => {
        const source = volumes[mount.name]
        if (source === undefined) throw new Error(`volume ${mount.name}: the lab has nothing for it`)
        if (mount.subPath !== undefined) throw new Error(`volume ${mount.name}: the lab knows no subPath`)
        return {
          destination: mount.mountPath,
          type: 'bind',
          source,
          options: ['rbind', 'rprivate', mount.readOnly === true ? 'ro' : 'rw'],
        }
      }),
    ],
    linux: {
      namespaces: [
        { type: 'mount' },
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'network', path: networkNamespace },
      ],
      sysctl: Object.fromEntries((pod.sysctls ?? []).map(({ name: key, value }) => [key, value])),
      seccomp: seccompFor(request.seccomp, capabilities, process.arch),
      maskedPaths: masked,
      readonlyPaths: readOnly,
    },
  }
}
