import { expect, test } from 'vitest'
import { hasCapability, isBuiltIn } from '../src/requirement.ts'

test('what the kernel itself has is told from what a module of it has', () => {
  const text = [
    '0000000000000000 t ip_vs_sh_schedule',
    '0000000000000000 T register_ip_vs_scheduler',
    '0000000000000000 t ctnetlink_get_conntrack',
    '0000000000000000 t ip_vs_mh_schedule\t[ip_vs_mh]',
    '0000000000000000 t wg_xmit\t[wireguard]',
    '',
  ].join('\n')
  const modules = ['ip_vs', 'ip_vs_sh', 'nf-conntrack-netlink', 'ip_vs_mh', 'wireguard', 'vxlan', 'xt_CT', 'sh']
  expect(modules.filter((name) => isBuiltIn(text, name))).toEqual(['ip_vs', 'ip_vs_sh', 'nf-conntrack-netlink'])
  expect(isBuiltIn('', 'ip_vs')).toBe(false)
})

test.each([
  ['every capability', '000001ffffffffff', true],
  ['CAP_NET_ADMIN alone', '0000000000001000', true],
  ['all others', '000001ffffffefff', false],
  ['none', '0000000000000000', false],
])('a process with %s may change its network: %s', (_what, mask, may) => {
  expect(hasCapability(`CapPrm:\t000001ffffffffff\nCapEff:\t${mask}\nCapBnd:\t000001ffffffffff\n`, 12)).toBe(may)
})
