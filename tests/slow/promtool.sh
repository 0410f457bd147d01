#!/bin/sh
# Prometheus' own linter finds nothing to say about /metrics after a few requests.
set -u
# shellcheck source=tests/slow/common.sh
. "$(dirname "$0")/common.sh"

need curl promtool
[ -x "${R2_DAEMON:-}" ] || fail "R2_DAEMON names no program"

"$R2_DAEMON" serve --model "$R2_TEST_MODEL" --listen "unix:$work/socket" 2>"$work/log" &
daemon=$!
ask() {
  curl --silent --header "Content-Type: application/octet-stream" --show-error --unix-socket "$work/socket" "$@"
}
for _ in 1 2 3 4 5 6 7 8 9 10; do
  ask http://localhost/readyz 2>/dev/null | grep -q ready && break
  sleep 0.5
done
ask --output /dev/null --data-binary "@$picture" http://localhost/classify
ask --output /dev/null --data-binary nonsense http://localhost/classify
ask http://localhost/metrics >"$work/metrics" || fail "no metrics"
grep -q 'requests_total{route="classify",code="200"} 1' "$work/metrics" || fail "nothing was counted"
promtool check metrics <"$work/metrics" >"$work/said" 2>&1 || fail "$(cat "$work/said")"
[ ! -s "$work/said" ] || fail "$(cat "$work/said")"
say "$(grep -c '^# TYPE' "$work/metrics") metrics, nothing to say"
