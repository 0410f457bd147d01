#!/bin/sh
# The README's two commands on a fresh Debian 12 and a fresh Debian 13, and again as on a CPU that has no
# more than AVX2. Both answer the same about a picture.
#
#   debian.sh [SUITE...]      needs root; packages are kept in the user's cache
set -u
# shellcheck source=tests/slow/common.sh
. "$(dirname "$0")/common.sh"

need debootstrap git curl python3
need_namespaces

# enter DIRECTORY COMMAND...: becomes the command in that root. Its mounts are its own and end with it.
# enter COMMAND...: becomes the command in the root of $suite. Its mounts are its own and end with it.
enter() {
  # shellcheck disable=SC2016 # the inner shell's
  exec unshare --mount sh -c '
    root=$1 packages=$2
    shift 2
    mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/dev/shm" &&
      mount --rbind /sys "$root/sys" && mount -t proc proc "$root/proc" &&
      mount --bind "$packages" "$root/var/cache/apt/archives" &&
      exec chroot "$root" env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
    ' enter "$work/$suite" "$cache/$suite" "$@"
}

run() {
  (enter "$@")
}

# deploy/run.sh as a user runs it, up to the answer, and its end.
serve() {
  port=$(free_port)
  enter /src/deploy/run.sh --port "$port" &
  daemon=$!
  wait_until_ready "http://127.0.0.1:$port" &&
    curl -sS --fail-with-body --data-binary "@$picture" -H 'Content-Type: image/png' \
      -o "$work/$suite.json" "http://127.0.0.1:$port/classify?top_k=0" &&
    stop
}

# oneDNN 2 listens to the first name, oneDNN 3 to the second.
run_at_avx2() {
  run env DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 "$@"
}

# All tests but speed, whose floor is for what the CPU has: oneDNN 2 takes Res2NeXt's groups of four channels
# through gemm at AVX2, at 7 % of the core. That is slow, not reference code; it is counted below.
suite_at_avx2() {
  # shellcheck disable=SC2016 # the inner shell's
  run_at_avx2 sh -c '
    names=$(meson test -C /src/build-test --list | sed -n "s/.* //p" | grep -vx speed) &&
      /src/deploy/test.sh --no-install -- $names'
}

# No convolution runs on reference code, and the cap was heard.
implementations_at_avx2() {
  run_at_avx2 R2_VERBOSE=1 /src/build-test/tests/backbone/test_speed >"$work/speed" 2>&1
  awk '$2 == "conv" { n[$NF]++ } END { for (name in n) print name ": " n[name] }' "$work/speed" \
    >"$work/implementations"
  cat "$work/implementations"
  grep -q avx2 "$work/implementations" && ! grep -Eq 'ref|avx512' "$work/implementations"
}

# classes ANSWER: label, tab, score; one a line.
classes() {
  python3 -c '
import json, sys
for c in sorted(json.load(open(sys.argv[1]))["classes"], key=lambda c: c["label"]):
    print(c["label"], c["score"], sep="\t")' "$1"
}

same_answers() {
  classes "$work/$1.json" >"$work/a" && classes "$work/$2.json" >"$work/b" &&
    paste "$work/a" "$work/b" | awk -F '\t' '
      $1 != $3 || ($2 - $4)^2 > 1e-4^2 { print; differs = 1 }
      END { exit differs || NR < 2 }'
}

say "commit $(git -c safe.directory='*' -C "$source_root" rev-parse --short HEAD)"
[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do
  timed "$suite: a fresh root" fresh_debian "$suite" "$work/$suite"
  committed "$work/$suite/src" || fail "no committed source in $source_root"
  timed "$suite: deploy/run.sh, a picture, SIGTERM" serve
  timed "$suite: deploy/test.sh" run /src/deploy/test.sh
  timed "$suite: the tests at AVX2" suite_at_avx2
  timed "$suite: no reference code at AVX2" implementations_at_avx2
  cat "$work/said"
  rm -rf --one-file-system "${work:?}/$suite"
  [ "$suite" = "$1" ] || timed "$1 and $suite answer the same" same_answers "$1" "$suite"
done
