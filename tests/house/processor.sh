#!/bin/sh
# What the program does on processors of several ages, which qemu plays: before AVX2 it says that it
# needs it, instead of dying of an instruction that is not there; from Haswell on it starts.
#
#   processor.sh RES2NETD MODEL
#
# Skipped (77) without qemu-user, and where this machine is no x86-64.
set -u
program=$1
model=$2
qemu=$(command -v qemu-x86_64)
if [ -z "$qemu" ] || [ "$(uname -m)" != x86_64 ]; then
    echo "SKIPPED: needs qemu-x86_64 (Debian: qemu-user) on x86-64" >&2
    exit 77
fi
failed=0

# expect PROCESSOR CODE TEXT ARGUMENT...
# The policy is given so that the program does not start itself again, outside qemu.
expect() {
    processor=$1
    code=$2
    text=$3
    shift 3
    output=$(OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive "$qemu" -cpu "$processor" "$program" "$@" 2>&1)
    is=$?
    case $output in
    *"$text"*) [ "$is" -eq "$code" ] && return ;;
    esac
    echo "$processor: res2netd $*: code $is, not $code with \"$text\": $output" >&2
    failed=1
}

for processor in Nehalem SandyBridge; do
    expect $processor 1 "no AVX2" --version
    expect $processor 1 "no AVX2" serve --model "$model" --listen 127.0.0.1:0
done
expect Haswell 0 "res2netd " --version
expect Haswell 0 '"precision": "f32"' check --model "$model"
exit $failed
