#!/bin/sh
# Installs what is missing, builds, and runs the unit, golden and HTTP tests and the fuzz corpora.
#
#   deploy/test.sh [--no-install] [-- OPTION-OF-MESON-TEST...]
set -u
. "$(dirname "$0")/setup.sh"

install=yes
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=no ;;
    --help | -h)
        sed -n '2,4s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    --)
        shift
        break
        ;;
    *)
        say "unknown option '$1'; see $0 --help"
        exit 2
        ;;
    esac
    shift
done

# shellcheck disable=SC2086 # lists of words
[ "$install" = no ] || install_packages $build_packages $test_packages
build "$root/build-test"
exec meson test -C "$root/build-test" --no-rebuild --print-errorlogs "$@"
