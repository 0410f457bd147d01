#!/bin/sh
# Fuzzes readers under ASan and UBSan, in build-fuzz/; stops at the first input that breaks something
# and says where it is.
#
#   tests/fuzz/run.sh [--seconds N | --runs N] [--keep] [NAME...]
#
# Every target unless some are named, for 20 seconds each. --keep adds inputs that reach new code to
# the corpora in tests/fuzz/corpus/.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
. deploy/setup.sh

limit=-max_total_time=20
keep=no
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) limit=-max_total_time=$2 && shift ;;
    --runs) limit=-runs=$2 && shift ;;
    --keep) keep=yes ;;
    -*)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    *) break ;;
    esac
    shift
done
if [ $# -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source#tests/fuzz/fuzz_}
        set -- "$@" "${name%.c}"
    done
fi

install_packages clang libclang-rt-dev
export CC=clang
build build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
export R2_TEST_MODEL="$PWD/build-fuzz/tests/test_model"
mkdir -p build-fuzz/broken
for name in "$@"; do
    found=$(mktemp -d) || exit 1
    corpus=tests/fuzz/corpus/$name
    say "fuzzing $name"
    build-fuzz/tests/fuzz/fuzz_"$name" "$limit" -verbosity=0 -print_final_stats=1 -max_len=4096 \
        -timeout=10 -rss_limit_mb=2048 -artifact_prefix="build-fuzz/broken/$name-" \
        "$found" "$corpus" || exit 1
    [ "$keep" = no ] || build-fuzz/tests/fuzz/fuzz_"$name" -merge=1 -use_counters=0 -verbosity=0 \
        -max_len=4096 "$corpus" "$found" || exit 1
    rm -r "$found"
done
