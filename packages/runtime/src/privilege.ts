/** What an agent must be allowed to do, found out before it does anything. */
import { UserError } from '@vpn-gateway/config'
import { hasNetAdmin } from '@vpn-gateway/kernel'

/** Throws a `UserError` when this process may not change its network namespace. */
export async function requireNetAdmin(): Promise<void> {
  if (!(await hasNetAdmin())) throw new UserError('capabilities: changes are not permitted: expected CAP_NET_ADMIN')
}
