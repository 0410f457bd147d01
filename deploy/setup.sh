# Shared by run.sh and test.sh, which source it: installs what is missing and builds.
# Says what it does on standard error. On a machine that has everything it takes about a second.

root=${root:-$(cd "$(dirname "$0")/.." && pwd)} # one that is deeper in sets it before

build_packages="gcc libc6-dev meson ninja-build pkg-config libdnnl-dev libmicrohttpd-dev
    libjansson-dev libjpeg62-turbo-dev libpng-dev libwebp-dev zlib1g-dev
    libcairo2-dev libfreetype-dev fonts-dejavu-core"
test_packages="libcriterion-dev"

say() {
    echo "deploy: $*" >&2
}

# install_packages NAME...: those that are not installed yet, through apt.
install_packages() {
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *"ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        as_root=sudo
        command -v sudo >/dev/null || {
            say "these packages are missing and need root to install:$missing"
            exit 1
        }
    fi
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends $missing >&2 || {
        say "could not install$missing"
        exit 1
    }
}

# build DIRECTORY MESON-OPTION...: configured once, then only what changed is compiled.
build() {
    directory=$1
    shift
    if [ ! -f "$directory/build.ninja" ]; then
        say "configuring $directory"
        meson setup "$directory" "$root" "$@" >&2 || exit 1
    fi
    ninja -C "$directory" --quiet >&2 || exit 1
}
