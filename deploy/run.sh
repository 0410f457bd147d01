#!/bin/sh
# Installs what is missing, builds, and serves a model.
#
#   deploy/run.sh [--model DIR] [--port N] [--no-install] [-- OPTION-OF-THE-DAEMON...]
#
# Defaults: models/demo on 127.0.0.1:8080. Debian 12 or 13.
set -u
. "$(dirname "$0")/setup.sh"

model=$root/models/demo
port=8080
install=yes

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
    case $1 in
    --model | --port)
        [ $# -ge 2 ] || {
            say "$1 needs a value"
            exit 2
        }
        [ "$1" = --model ] && model=$2 || port=$2
        shift
        ;;
    --no-install) install=no ;;
    --help | -h)
        usage
        exit 0
        ;;
    --)
        shift
        break
        ;;
    *)
        say "unknown option '$1'; see $0 --help (options of the daemon follow --)"
        exit 2
        ;;
    esac
    shift
done

# shellcheck disable=SC2086 # a list of words
[ "$install" = no ] || install_packages $build_packages
build "$root/build" -Dtests=false
say "serving $model on http://127.0.0.1:$port"
exec "$root/build/server/res2netd" serve --model "$model" --listen "127.0.0.1:$port" "$@"
