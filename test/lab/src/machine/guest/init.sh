#!/bin/busybox sh
# First process of the machine: mounts the host's root file system under a throw-away upper layer, makes a system of it
# and hands over to start.sh. Under QEMU it runs in the initial RAM disk, where busybox starts faster than programs over 9p;
# /modules holds what the mounts need, numbered in the order of dependence. In a user-mode kernel, which has all that, it runs
# on the host's root itself, read-only, and gets the share's place on the host as $share.
if [ -d /modules ]; then
  /bin/busybox --install -s /bin
else
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
# Some kernels do that by themselves.
grep -q ' /dev devtmpfs ' /proc/mounts || mount -t devtmpfs dev /dev
echo 'vpn-gateway: kernel is up'

transport=trans=virtio,version=9p2000.L,msize=262144
if [ -d /modules ]; then
  for module in /modules/*.ko; do insmod "$module"; done
  mount -t 9p -o $transport,cache=loose,ro root /lower || exec echo 'vpn-gateway: the root file system could not be mounted'
  lower=/lower upper=/upper root=/root
else
  lower=/ upper=/mnt root=/mnt/root
fi
mount -t tmpfs -o mode=755 upper $upper
mkdir -p $upper/files $upper/work $root
mount -t overlay -o lowerdir=$lower,upperdir=$upper/files,workdir=$upper/work root $root
# Sockets, pid files and locks of the host's own daemons are not this machine's.
mount -t tmpfs -o mode=755,nosuid,nodev run $root/run
mkdir -p $root/run/machine $root/run/home $root/run/lock
if [ -d /modules ]; then
  mount -t 9p -o $transport share $root/run/machine
else
  mount -t hostfs -o "$share" share $root/run/machine
fi || exec echo 'vpn-gateway: the share could not be mounted'
# With clock-1, which start.sh writes: whether this machine keeps the host's time.
read -r uptime _ </proc/uptime && echo "$uptime" >$root/run/machine/clock-0
# The kernel itself calls modprobe, which looks here; a tmpfs hides modules that the host has for kernels of its own.
mkdir -p $root/lib/modules
mount -t tmpfs modules $root/lib/modules
# Not a link: a container that is shown /lib/modules sees nothing of where it would lead to.
modules=$root/lib/modules/$(uname -r)
mkdir "$modules"
mount -o bind "$root$(cat $root/run/machine/modules-path)" "$modules"
# As on a node, where nobody but its package manager writes there: a container's read-only mount of what is above ends here.
mount -o remount,bind,ro "$modules"

mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
echo vpn-gateway-lab >/proc/sys/kernel/hostname
echo 3 >/proc/sys/kernel/printk
ip link set lo up
stty -F /dev/ttyS1 raw -echo
# Without a syslog daemon syslog(3) falls back to the console, and an emulated serial port is slow. The kernel's own
# messages, above all its last, do not take this way.
mount -o bind /dev/null /dev/console
for directory in proc sys dev; do mount -n --move /$directory $root/$directory; done
[ ! -d /modules ] || exec switch_root $root /bin/bash /run/machine/start.sh
cd $root
mount -n --move . /
exec chroot . /bin/bash /run/machine/start.sh
