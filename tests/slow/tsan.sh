#!/bin/sh
# The HTTP tests against a daemon that ThreadSanitizer watches; fails when it reports anything.
#
# Criterion does not run under ThreadSanitizer, so only the daemon is built with it. One OpenMP thread a
# worker: ThreadSanitizer does not see how libgomp's threads wait for each other, and would report what
# oneDNN does in them. Workers, HTTP, loader and watch are threads of our own.
set -u
# shellcheck source=tests/slow/common.sh
. "$(dirname "$0")/common.sh"

need meson ninja cc
tests=$(dirname "$(dirname "$R2_DAEMON")")/tests
echo 'int main(void) { return 0; }' >"$work/empty.c"
cc -fsanitize=thread "$work/empty.c" -o "$work/empty" 2>/dev/null || skip "the compiler has no libtsan"
timed "configure" meson setup "$work/build" "$source_root" -Dtests=false -Db_sanitize=thread \
  -Dbuildtype=debugoptimized -Db_lundef=false
timed "build" ninja -C "$work/build"

mkdir "$work/reports"
export R2_DAEMON="$work/build/server/res2netd" RES2NETD_THREADS=1
export TSAN_OPTIONS="halt_on_error=0:exitcode=66:log_path=$work/reports/report"

ran=0
failed=0
for test in "$tests"/http/test_http_*; do
  [ -d "$test" ] && continue # of the build
  ran=$((ran + 1))
  "$test" >"$work/said" 2>&1 || failed=$((failed + 1))
  cat "$work"/reports/* 2>/dev/null && failed=$((failed + 1))
  say "${test##*/}: $failed failures and reports until now"
done
[ "$ran" -gt 0 ] || fail "no HTTP tests in $tests"
[ "$failed" -eq 0 ] || fail "$failed failures and reports"
say "$ran test programs, no report"
