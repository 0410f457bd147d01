#!/bin/sh
# Fetches a published model and writes a model directory; see get_model.py.
#
#   deploy/get-model.sh NAME [DIR]
#   deploy/get-model.sh --list
set -u
command -v python3 >/dev/null || {
    echo "get-model: python3 is not installed" >&2
    exit 1
}
exec python3 "$(dirname "$0")/get_model.py" "$@"
