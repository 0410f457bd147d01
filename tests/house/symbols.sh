#!/bin/sh
# Checks that every global symbol which our static libraries define starts with r2_.
#
#   symbols.sh LIBRARY...     prints each other symbol, exit 1 if there is one
#   symbols.sh --self-test    a library with another symbol must be refused (negative control)
# NM and CC name the tools to use.
set -eu

# main is the program's; the rest is what sanitizers and coverage add to every object.
allowed='^(r2_.*|main|__(asan|ubsan|tsan|gcov|llvm|profc?)_.*|__odr_asan[._].*|__start_.*|__stop_.*)$'

check() {
  for library in "$@"; do
    [ -s "$library" ] || { echo "$library: no such library"; return 1; }
    "${NM:-nm}" -g --defined-only -P "$library" >"$work/symbols"
    grep -q ' [A-Z] ' "$work/symbols" || { echo "$library: nm finds no symbols"; return 1; }
    awk 'NF > 1 {print $1}' "$work/symbols"
  done >"$work/names" || { cat "$work/names"; return 1; }
  if grep -Ev "$allowed" "$work/names"; then
    echo "these global symbols do not start with r2_: make them static or rename them"
    return 1
  fi
}

self_test() {
  printf 'int r2_good(void); int r2_good(void) { return 0; }\nstatic int own = 1; int *r2_own = &own;\n' \
    >"$work/good.c"
  for line in 'int bad_function(void) { return 0; }' 'int bad_variable;' 'const int bad_table[2] = {1};'; do
    printf '%s\n' "$line" >"$work/bad.c"
    (cd "$work" && ${CC:-cc} -c good.c bad.c && rm -f good.a bad.a && ar rc good.a good.o &&
      ar rc bad.a good.o bad.o)
    check "$work/good.a" >"$work/said" || { cat "$work/said"; exit 1; }
    if check "$work/good.a" "$work/bad.a" >"$work/said" || ! grep -q '^bad_' "$work/said"; then
      echo "self-test: '$line' must be refused"
      exit 1
    fi
  done
  if check "$work/missing.a" >"$work/said"; then
    echo "self-test: a missing library must be refused"
    exit 1
  fi
  echo "self-test: every other symbol was refused"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1-} in
--self-test) self_test ;;
'') echo "usage: symbols.sh LIBRARY... | --self-test" >&2; exit 2 ;;
*) check "$@" && echo "symbols: ok" ;;
esac
