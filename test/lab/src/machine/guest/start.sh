# Second stage of the machine, still process 1: loads modules, then runs what the host rings for.
# /run/machine is the share. The host writes jobs/N/{argv,env,cwd} and one line to the second serial port:
#   run N | kill N SIGNAL | off
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home LC_ALL=C.UTF-8
share=/run/machine
ulimit -n 1048576
modprobe -a $(<$share/modules-required)
# Its soft interrupts are the network between the lab's machines: no cable waits until somebody's program has had its turn.
for comm in /proc/[0-9]*/comm; do
  [[ $(<"$comm") == ksoftirqd/* ]] && { pid=${comm%/comm}; renice -n -20 -p "${pid#/proc/}"; }
done >/dev/null 2>&1
# The rest would be loaded on first use, which only takes longer then.
modprobe -qa $(<$share/modules-useful) &

# A pipe that nobody writes to: `read -t` on it is a pause without a process, which under emulation costs 50 ms.
exec {never}<> <(:)

run_job() {
  local job=$share/jobs/$1 out err out_pid err_pid tries=0 name
  local -a argv env
  # With job control the command leads a process group of its own, which `kill` can then reach. A subshell starts without.
  set -m
  mapfile -d '' -t argv <"$job/argv"
  mapfile -d '' -t env <"$job/env"
  # Pipes, not files: a program that opens /dev/stderr again would truncate a file. busybox is static, so it starts fast.
  exec {out}> >(exec busybox cat >"$job/stdout") && out_pid=$!
  exec {err}> >(exec busybox cat >"$job/stderr") && err_pid=$!
  (
    cd "$(<"$job/cwd")" || exit 126
    for name in $(compgen -e); do unset "$name"; done
    export "${env[@]}"
    # Behind the lab's own traffic and agents: who steers and watches them must not be what they wait for.
    exec nice -n 5 -- "${argv[@]}" {out}>&- {err}>&- {never}>&- 3>&-
  ) </dev/null >&"$out" 2>&"$err" &
  echo "$!" >"/run/job-$1"
  exec {out}>&- {err}>&-
  wait "$!"
  set -- $?
  # What the command wrote last is on its way through the pipes; a daemon that it left behind may hold them for ever.
  while ((tries++ < 100)) && { kill -0 "$out_pid" || kill -0 "$err_pid"; } 2>/dev/null; do
    read -rt 0.01 -u "$never"
  done
  echo "$1" >"$job/exit"
}

exec 3</dev/ttyS1
read -r uptime _ </proc/uptime && echo "$uptime" >$share/clock-1
echo ready >$share/ready
while read -r order number signal <&3; do
  case $order in
    run) run_job "$number" & ;;
    kill) kill -s "$signal" -- "-$(<"/run/job-$number")" ;;
    off) break ;;
  esac
done
echo o >/proc/sysrq-trigger
while :; do sleep 60; done
