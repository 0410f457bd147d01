#!/bin/sh
# The image that Dockerfile makes: built, weighed, and run as its own configuration says, by nobody,
# without capabilities, over a root that cannot be written. No registry is asked: a fresh Debian 13
# stands in for the base image.
set -u
# shellcheck source=tests/slow/common.sh
. "$(dirname "$0")/common.sh"

need debootstrap buildah curl git python3 setpriv
need_namespaces
suite=trixie
megabytes=90

image() {
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

make_base() {
  fresh_debian "$suite" "$work/debian" &&
    tar -c -C "$work/debian" --exclude='./dev/*' --exclude='./proc/*' -f "$work/debian.tar" . &&
    container=$(image from scratch) &&
    image add "$container" "$work/debian.tar" / &&
    image commit --rm "$container" docker.io/library/debian:trixie-slim
}

make_image() {
  committed "$work/src" &&
    image build --isolation chroot --format docker --pull-never -t res2netd "$work/src"
}

# has FIELD: what the image's configuration holds there, one value a line; fails if nothing.
has() {
  image inspect --type image --format "{{range .Docker.Config.$1}}{{println .}}{{end}}" res2netd |
    grep .
}

configured() {
  user=$(image inspect --type image --format '{{.Docker.Config.User}}' res2netd) &&
    [ "${user%%:*}" != 0 ] && [ -n "$user" ] && has Env >"$work/env" &&
    has Entrypoint >"$work/command" && has Cmd >>"$work/command" && has Healthcheck.Test >"$work/health" &&
    image inspect --type image --format '{{.Docker.Config.ExposedPorts}}' res2netd | grep -q 8080/tcp
}

weigh() {
  container=$(image from res2netd) && root=$(image mount "$container") &&
    bytes=$(du -s -B1 --apparent-size "$root" | cut -f 1) &&
    [ "$bytes" -le $((megabytes * 1000000)) ]
}

# confined COMMAND...: becomes the command in the image, with its environment, as an engine runs it
# with --read-only --cap-drop ALL --security-opt no-new-privileges.
confined() {
  # shellcheck disable=SC2016 # the inner shell's
  exec unshare --mount sh -c '
    root=$1 user=$2 environment=$3 listen=$4
    shift 4
    mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" &&
      mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" &&
      mount --rbind /sys "$root/sys" &&
      exec env -i PATH="$PATH" $(cat "$environment") RES2NETD_LISTEN="$listen" \
        setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid \
        chroot --userspec="$user" "$root" "$@"
    ' confined "$root" "$user" "$work/env" "127.0.0.1:$port" "$@"
}

healthy() {
  # shellcheck disable=SC2046 # a list of words
  (confined $(sed 1d "$work/health"))
}

# A picture is classified and the health check agrees, until SIGTERM; exit 0.
serves() {
  port=$(free_port)
  # shellcheck disable=SC2046 # a list of words
  confined $(cat "$work/command") &
  daemon=$!
  wait_until_ready "http://127.0.0.1:$port" || return 1
  grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' "/proc/$daemon/status"
  curl -sS --fail-with-body --data-binary "@$picture" -H 'Content-Type: image/png' \
    "http://127.0.0.1:$port/classify" | grep '"label"' || return 1
  healthy && stop && ! healthy
}

timed "a base image from a fresh Debian" make_base
timed "the image" make_image
timed "user, ports and health check are set" configured
timed "at most $megabytes MB" weigh
say "$bytes bytes in $(find "$root" -type f | wc -l) files"
mkdir -p "$root/dev" "$root/proc" "$root/sys" # an engine makes them
timed "a picture, the health check, SIGTERM" serves
cat "$work/said"
