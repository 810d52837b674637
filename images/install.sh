#!/bin/sh
# usage: install.sh AGENT TARGET
# Runs while an image is built. Installs what images/AGENT/packages.lock names, in the versions that stand there, and
# copies to TARGET what an image needs of it, so that no list, cache, log or script of the package manager is in a layer.
# NEWER=yes installs today's versions of images/AGENT/packages instead. The image tells what it has in
# /usr/share/vpn-gateway/packages.lock.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
agent=$1 target=$2
here=$(dirname "$0")
lock=$here/$agent/packages.lock
work=$(mktemp -d)

say() { printf 'images: %s\n' "$*" >&2; }
words() { sed 's/#.*//' "$1"; }
installed() { dpkg-query -W -f '${db:Status-Abbrev} ${Package}=${Version}\n' | sed -n 's/^ii  *//p' | sort; }
install() { apt-get install -qq --yes --no-install-recommends "$@" >"$work/log" 2>&1; }

# snapshot.debian.org has what the archive has replaced since the lock was written.
install_of_that_day() {
  day=$(sed -n 's/^# snapshot //p' "$lock")
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  archive=http://snapshot.debian.org/archive
  printf 'deb [check-valid-until=no] %s %s main\n' "$archive/debian/$day" "$codename" \
    "$archive/debian-security/$day" "$codename-security" >/etc/apt/sources.list.d/snapshot.list
  apt-get update -qq && install "$@"
}

installed >"$work/before"
apt-get update -qq
if [ "${NEWER:-}" = yes ]; then
  install $(words "$here/$agent/packages") || { cat "$work/log" >&2; exit 1; }
elif ! install $(words "$lock"); then
  cp "$work/log" "$work/first"
  say "the archive does not have all of images/$agent/packages.lock any more: asking snapshot.debian.org"
  install_of_that_day $(words "$lock") || {
    cat "$work/first" >&2
    say "these versions are not to be had; npm run images -- --lock writes down today's"
    exit 1
  }
fi
mkdir -p "$target/usr/share/vpn-gateway" "$target/var/lib/dpkg"
installed | comm -13 "$work/before" - >"$target/usr/share/vpn-gateway/packages.lock"

# A path on disk for each file: /lib and /sbin are links to directories in /usr.
words "$here/left-out" | sed '/^$/d' >"$work/left-out"
for package in $(sed 's/=.*//' "$target/usr/share/vpn-gateway/packages.lock"); do
  dpkg-query -L "$package" | while read -r path; do
    if [ -L "$path" ] || [ -f "$path" ]; then
      printf '%s/%s\n' "$(realpath "${path%/*}/")" "${path##*/}"
    fi
  done | sed 's,^//,/,' | { grep -Ev -f "$work/left-out" || :; } >"$work/files"
  # Licences are for files, and a package of which nothing is taken is not in the image.
  grep -qv '^/usr/share/doc/' "$work/files" || continue
  cat "$work/files" >>"$work/all"
  echo "$package" >>"$work/taken"
done
# What iptables is, maintainer scripts decide: links through /etc/alternatives, which belong to no package.
find /usr/sbin /usr/bin -type l -lname '/etc/alternatives/*' | while read -r link; do
  chosen=$(readlink "$(readlink "$link")")
  if grep -qx "$(realpath "${chosen%/*}/")/${chosen##*/}" "$work/all"; then
    printf '%s\n' "$link" "$(readlink "$link")"
  fi
done >"$work/links"
cat "$work/all" "$work/links" | sort -u | tar --create --no-recursion --files-from - 2>"$work/tar" |
  tar --extract --directory "$target" || { cat "$work/tar" >&2; exit 1; }

# Scanners find the packages of an image in dpkg's list. Those of which nothing was taken are not in it.
cut -d = -f 1 "$work/before" | sort - "$work/taken" >"$work/present"
awk -v list="$work/present" '
  BEGIN { while ((getline name < list) > 0) present[name] = 1; RS = ""; ORS = "\n\n"; FS = "\n" }
  { name = substr($1, 10) } name in present' /var/lib/dpkg/status >"$target/var/lib/dpkg/status"
