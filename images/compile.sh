#!/bin/sh
# usage: compile.sh ROOT PROGRAM [FLAG...]
# Runs while an image is built: keeps below ROOT what V8 compiles of PROGRAM, which is at its final path below ROOT.
set -eu
root=$1 program=$2
shift 2
mkdir -p "$(dirname "$program")"
cp "$root$program" "$program"
export NODE_COMPILE_CACHE=/usr/lib/vpn-gateway/cache
# Seeded, so that the same program gives the same file; the seed is none of the flags that a reader must share.
node --random-seed=1 "$@" "$program" --version >/dev/null
cp -R "$NODE_COMPILE_CACHE" "$root$NODE_COMPILE_CACHE"
