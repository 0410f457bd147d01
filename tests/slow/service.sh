#!/bin/sh
# The unit for systemd: sound, as confined as systemd can tell, and patient enough when it stops;
# the Compose file too, where its tool is installed.
set -u
# shellcheck source=tests/slow/common.sh
. "$(dirname "$0")/common.sh"

need systemd-analyze
[ -x "${R2_DAEMON:-}" ] || fail "R2_DAEMON names no program"

unit=$work/res2netd.service
sed "s|/usr/bin/res2netd|$R2_DAEMON|" "$source_root/deploy/res2netd.service" >"$unit"

# It says nothing about a unit that is sound.
sound() {
  systemd-analyze verify "$unit" 2>&1 | tee "$work/complaints"
  [ ! -s "$work/complaints" ]
}

# Exposure 0.0 to 10.0; the threshold is ten times that.
confined() {
  systemd-analyze security --offline=true --threshold=20 --no-pager "$unit"
}

# patient FILE KEY: its seconds are more than the daemon's shutdown_timeout_ms.
patient() {
  limit_ms=$(sed -n 's/.*"shutdown_timeout_ms": \([0-9]*\).*/\1/p' "$source_root/config/res2netd.json")
  seconds=$(sed -n "s/^ *$2[=:] *\([0-9]*\)s\{0,1\}$/\1/p" "$source_root/$1")
  echo "$1: $2 is $seconds s, shutdown_timeout_ms $limit_ms"
  [ $((seconds * 1000)) -gt "$limit_ms" ]
}

timed "systemd-analyze verify" sound
timed "systemd-analyze security" confined
tail -n 1 "$work/said"
timed "the unit waits for the last answers" patient deploy/res2netd.service TimeoutStopSec
timed "the Compose file does" patient deploy/compose.yaml stop_grace_period

if docker compose version >"$work/version" 2>&1; then
  timed "docker compose config" docker compose -f "$source_root/deploy/compose.yaml" config
else
  need docker-compose
  timed "docker-compose config" docker-compose -f "$source_root/deploy/compose.yaml" config
fi
