/**
 * The command that runs a program under SCHED_RR (sched(7)) with a priority of 1 to 99, or as it is where that is refused
 * (no CAP_SYS_NICE, RLIMIT_RTPRIO), which chrt(1) then says on standard error. The program keeps the process that is started;
 * its children inherit the policy.
 */
export function inRealTime(priority: number, argv: readonly [string, ...string[]]): [string, ...string[]] {
  const real = `chrt --rr ${priority}`
  return ['sh', '-c', `${real} true && exec ${real} "$@"; exec "$@"`, 'sh', ...argv]
}
