# shellcheck shell=sh disable=SC2034 # some variables are for those who source it
# Shared by the slow tests, which source it: what they miss, how long they take, a fresh Debian.

source_root=${R2_SOURCE_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
picture=$source_root/tests/golden/image/input_wide.png
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/res2netd-tests
work=$(mktemp -d)
daemon=

# shellcheck disable=SC2317 # called by the trap
clean_up() {
  [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

say() {
  echo "$(basename "$0" .sh): $*"
}

fail() {
  say "FAILED: $*"
  exit 1
}

skip() {
  say "SKIPPED: $*"
  exit 77
}

# need TOOL...: skips the test where one is not installed.
need() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
  done
}

need_namespaces() {
  need unshare
  [ "$(id -u)" -eq 0 ] || skip "chroot and mount need root"
  unshare --mount true || skip "this machine permits no mount namespaces"
}

# timed WHAT COMMAND...: says how long it took; shows what it said if it failed.
timed() {
  what=$1
  start=$(date +%s)
  shift
  "$@" >"$work/said" 2>&1 || {
    tail -n 60 "$work/said"
    fail "$what"
  }
  say "$what: $(($(date +%s) - start)) s"
}

# fresh_debian SUITE DIRECTORY: the smallest Debian, from the mirror that this machine's apt uses.
fresh_debian() {
  mirror=$(apt-get indextargets --format "\$(REPO_URI)" 'Created-By: Packages' 'Origin: Debian' \
    'Label: Debian' | head -n 1)
  [ -n "$mirror" ] || fail "apt's sources name no mirror of Debian"
  mkdir -p "$cache/$1"
  debootstrap --variant=minbase --cache-dir="$cache/$1" "$1" "$2" "$mirror"
}

# committed DIRECTORY: the source as it was committed last, without what lies about here.
committed() {
  mkdir -p "$1" &&
    git -c safe.directory='*' -C "$source_root" archive HEAD >"$work/source.tar" &&
    tar -x -C "$1" -f "$work/source.tar"
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_until_ready URL: until the background process $daemon is, or has ended.
wait_until_ready() {
  until curl -sf -o "$work/ready" "$1/readyz"; do
    kill -0 "$daemon" 2>/dev/null || return 1
    sleep 0.2
  done
}

# stop: SIGTERM; the exit status is the daemon's.
stop() {
  kill -TERM "$daemon"
  wait "$daemon"
  status=$?
  daemon=
  return $status
}
