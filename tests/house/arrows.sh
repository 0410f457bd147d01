#!/bin/sh
# Checks the floors of DESIGN (ARCHITECTURE.md): who may include what, where threads are made, and
# how long a file may be.
#
#   arrows.sh ROOT          checks a source tree; prints each violation, exit 1 if there is one
#   arrows.sh --self-test   small trees with one violation each must be refused (negative control)
set -eu

# The files of backbone/ that may include dnnl.h; what differs between oneDNN 2 and 3 is in the first.
dnnl_files="backbone/onednn.h"

check() (
  cd "$1"
  status=0
  # shellcheck disable=SC2016 # the program is awk's
  find -H base image config backbone heads server tests -name '*.[ch]' 2>/dev/null | LC_ALL=C sort |
    xargs awk -v dnnl_files="$dnnl_files" '
      BEGIN {
        may["base"] = "base"
        may["image"] = "base image"
        may["config"] = "base config"
        may["backbone"] = "base image config backbone"
        may["heads"] = "base image config backbone heads"
        may["server"] = "base image config backbone heads server"
        may["tests"] = may["server"] " tests"

        # library headers, by the beginning of their name: the folders that may include them
        for_only["jansson.h"] = "config heads server tests"
        for_only["microhttpd.h"] = "server"
        for_only["oneapi/dnnl/"] = "backbone"
        for_only["dnnl"] = "backbone"
        for_only["jpeglib.h"] = for_only["turbojpeg.h"] = for_only["png.h"] = "image tests"
        for_only["webp/"] = "image tests"
        for_only["cairo"] = for_only["ft2build.h"] = "image tests"
        for_only["pthread.h"] = for_only["threads.h"] = "backbone server tests"
        for_only["omp.h"] = "backbone"
      }
      function bad(rule) { print FILENAME ":" FNR ": " rule; failed = 1 }
      function has(list, word) { return index(" " list " ", " " word " ") > 0 }
      FNR == 1 {
        split(FILENAME, path, "/")
        folder = path[1]
      }
      /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, part, "\"")
        name = part[2]
        floor = substr(name, 1, index(name, "/") - 1)
        if (!(floor in may))
          bad("\"" name "\": an include is root-relative (\"" folder "/...\")")
        else if (!has(may[folder], floor))
          bad("\"" name "\": " folder " must not include " floor)
      }
      /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
        split($0, part, /[<>"]/)
        for (library in for_only)
          if (index(part[2], library) == 1 && !has(for_only[library], folder))
            bad("<" part[2] ">: only for " for_only[library])
        if (part[2] ~ /dnnl/ && folder == "backbone" && !has(dnnl_files, FILENAME))
          bad("<" part[2] ">: only for " dnnl_files)
        if (part[2] ~ /^microhttpd/ && !seen_http[FILENAME]++ && http++)
          bad("<" part[2] ">: another file includes it already")
      }
      folder != "tests" && /(pthread_create|thrd_create)[ \t]*\(/ && !seen_create[FILENAME]++ && create++ {
        bad("another file creates threads already")
      }
      END {
        if (!NR) print "no source files here"
        exit failed || !NR
      }
    ' || status=1
  find -H base image config backbone heads server tests deploy training \
    \( -name '*.[ch]' -o -name '*.py' -o -name '*.js' -o -name '*.sh' \) 2>/dev/null | LC_ALL=C sort |
    xargs awk '
      FNR == 501 { print FILENAME ": the file is longer than 500 lines"; failed = 1 }
      END { exit failed }
    ' || status=1
  return $status
)

# refuses FILE LINE RULE: a tree that is sound but for that line must be refused with that rule.
refuses() {
  rm -rf "$tree"
  mkdir -p "$tree"
  for folder in base image config backbone heads server tests; do
    mkdir "$tree/$folder"
    printf '#include <stdio.h>\n#include "base/a.h"\n' >"$tree/$folder/a.h"
  done
  printf '#include <microhttpd.h>\n#include <pthread.h>\n#include "heads/a.h"\n' >"$tree/server/http.c"
  printf 'int x = pthread_create(1);\npthread_create(2);\n' >>"$tree/server/http.c"
  printf '#include <oneapi/dnnl/dnnl.h>\n#include "image/a.h"\n#include "config/a.h"\n' \
    >"$tree/backbone/onednn.h"
  printf '#include <jansson.h>\n' >"$tree/config/json.c"
  printf '#include "server/a.h"\n#include "tests/a.h"\npthread_create(1);\n' >"$tree/tests/t.c"
  if ! check "$tree" >"$tree/said"; then
    echo "self-test: the sound tree was refused:"
    cat "$tree/said"
    exit 1
  fi
  printf '%b\n' "$2" >>"$tree/$1"
  if check "$tree" >"$tree/said" || ! grep -qF -- "$3" "$tree/said"; then
    echo "self-test: '$2' in $1 must be refused with: $3"
    cat "$tree/said"
    exit 1
  fi
}

self_test() {
  tree=$(mktemp -d)
  trap 'rm -rf "$tree"' EXIT
  refuses base/b.c '#include "config/a.h"' 'base/b.c:1: "config/a.h": base must not include config'
  refuses image/b.c '#include "config/a.h"' 'image must not include config'
  refuses config/b.c '#include "image/a.h"' 'config must not include image'
  refuses backbone/b.c '#include "heads/a.h"' 'backbone must not include heads'
  refuses heads/b.c '  #  include "server/a.h"' 'heads must not include server'
  refuses server/b.c '#include "tests/a.h"' 'server must not include tests'
  refuses config/b.c '#include "a.h"' 'an include is root-relative'
  refuses config/b.c '#include "../base/a.h"' 'an include is root-relative'
  refuses backbone/b.c '#include <jansson.h>' '<jansson.h>: only for config heads server'
  refuses image/b.c '#include <jansson.h>' '<jansson.h>: only for config heads server'
  refuses heads/b.c '#include <microhttpd.h>' '<microhttpd.h>: only for server'
  refuses server/b.c '#include <microhttpd.h>' 'another file includes it already'
  refuses heads/b.c '#include <oneapi/dnnl/dnnl.h>' 'only for backbone'
  refuses server/b.c '#include "dnnl.h"' 'only for backbone'
  refuses backbone/b.c '#include <oneapi/dnnl/dnnl_types.h>' 'only for backbone/onednn.h'
  for folder in base image config heads; do
    refuses $folder/b.c '#include <pthread.h>' '<pthread.h>: only for backbone server'
  done
  refuses server/b.c 'int e = pthread_create(&t, 0, f, 0);' 'another file creates threads already'
  refuses heads/b.c '#include <png.h>' '<png.h>: only for image'
  refuses heads/b.c '#include <cairo.h>' '<cairo.h>: only for image'
  lines=$(awk 'BEGIN { while (i++ < 500) printf "\\n" }')
  refuses server/b.c "$lines" 'server/b.c: the file is longer than 500 lines'
  refuses tests/b.py "$lines" 'tests/b.py: the file is longer than 500 lines'
  rm -rf "${tree:?}"/*
  if check "$tree" >/dev/null; then
    echo "self-test: an empty tree must be refused"
    exit 1
  fi
  echo "self-test: every violation was refused"
}

case ${1-} in
--self-test) self_test ;;
'') echo "usage: arrows.sh ROOT | --self-test" >&2; exit 2 ;;
*) check "$1" && echo "arrows: ok" ;;
esac
