#!/bin/sh
# Puts nivalis on a Linux with Python 3.11 or newer, or takes it away again.
#
#   sh install.sh [options]        install; again, to upgrade or to repair
#   sh install.sh --remove         take away what was installed; `nivalis uninstall` does the same
#
#   --system, --user     for the machine (as root the default): /usr/local, and the store in /nix;
#                        or for this user alone: ~/.local, and a store at home
#   --prefix FOLDER      instead of /usr/local or ~/.local
#   --store FOLDER       keep the store below FOLDER, and say so in nix.conf
#   --wheel FILE         the wheel of nivalis; else the newest beside this script or in dist/
#   --find-links FOLDER  take the dependencies from a folder of wheels, and use no network
#   --index-url URL      take them from this index, and nivalis too if there is no wheel
#   --build-users N      as root: make the group nixbld with N users, so that builds run as these
#   --with-packages      install what is missing of the system's packages (Debian; with sudo if not as root)
#   --without-packages   go on although bubblewrap or a static shell is missing: nothing can be built then
#   --delete-store       with --remove: delete the store and its profiles too, unasked
#   --keep-store         with --remove: leave the store, unasked
#
# The dependencies are those of the lock in the wheel, each checked by its hash.  PYTHON names another interpreter than python3.

set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "install.sh: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# ------------------------------------------------------------------ what was asked for

action=install packages=ask wheel='' links='' index='' prefix=''
who=--user
[ "$(id -u)" != 0 ] || who=--system

# Each argument is taken from the front; those that are for Python too are put back at the end.
left=$#
while [ $left -gt 0 ]; do
    name=$1; shift; left=$((left - 1))
    case $name in
        -h|--help) usage; exit ;;
        --remove) action=remove ;;
        --with-packages) packages=install ;;
        --without-packages) packages=none ;;
        --system|--user) who=$name ;;
        --delete-store|--keep-store) set -- "$@" "$name" ;;
        --prefix|--store|--wheel|--find-links|--index-url|--build-users)
            [ $left -gt 0 ] || die "$name needs a value"
            value=$1; shift; left=$((left - 1))
            case $name in
                --wheel) wheel=$value ;;
                --prefix) prefix=$value ;;
                --find-links) links=$value ;;
                --index-url) index=$value ;;
            esac
            [ "$name" = --wheel ] || set -- "$@" "$name" "$value"
            ;;
        *) die "no such option: $name (--help lists them)" ;;
    esac
done
set -- "$@" "$who"

# ------------------------------------------------------------------ what has to be there

find_python() {
    for _name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if has "$_name" && "$_name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$_name"
            return
        fi
    done
    return 1
}

# A wheel of pip in the folder of wheels will do, as will the pip that Python brings or that is installed.
has_pip() {
    for _file in ${links:+"$links"/pip-*.whl}; do [ -e "$_file" ] && return; done
    "$python" -c 'import ensurepip' 2>/dev/null || "$python" -c 'import pip' 2>/dev/null
}

# Needed by nivalis itself, and by builds.
missing_base() {
    if python=$(find_python); then
        has_pip || printf ' python3-venv'
    else
        printf ' python3'
        [ -n "$links" ] || printf ' python3-venv'
    fi
    [ -s /etc/ssl/certs/ca-certificates.crt ] || [ -n "$links" ] || [ -n "${SSL_CERT_FILE:-}" ] || printf ' ca-certificates'
}
missing_for_builds() {
    has bwrap || printf ' bubblewrap'
    # The sandbox's /bin/sh, which must need no library.
    has busybox || has busybox-static || has bash-static || printf ' busybox-static'
}

install_packages() {
    has apt-get || die "this is no Debian; install first what Debian calls$*"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        has sudo || die "not root and no sudo; have installed:$*"
        as_root=sudo
    fi
    say "install.sh: installing$*"
    $as_root apt-get -q update >&2 || die "the list of packages cannot be read"
    # shellcheck disable=SC2086,SC2048  # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $* >&2 ||
        die "the packages cannot be installed"
}

check_machine() {
    [ "$(uname -s)" = Linux ] || die "nivalis is for Linux, and this is $(uname -s)"
    missing=$(missing_base)
    [ $packages = none ] || missing="$missing$(missing_for_builds)"
    [ -n "$missing" ] || return 0
    [ $packages = install ] || die "missing; install first, or let me with --with-packages:
    apt install$missing"
    install_packages "$missing"
}

# ------------------------------------------------------------------ the wheel

# The newest that is for this machine.
find_wheel() {
    ls "$1"/nivalis-*_"$(uname -m)".whl 2>/dev/null | sort -V | tail -n 1
}

fetch_wheel() {
    download=$(mktemp -d)
    trap 'rm -rf "$download"' EXIT
    "$python" -m venv "$download/venv"
    "$download/venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
        --index-url "$index" --dest "$download" nivalis >&2 || die "no wheel of nivalis in that index"
    wheel=$(find_wheel "$download")
}

if [ $action = install ]; then
    check_machine
    here=$(cd "$(dirname "$0")" && pwd)
    [ -n "$wheel" ] || wheel=$(find_wheel "$here")
    [ -n "$wheel" ] || wheel=$(find_wheel "$here/dist")
else
    # The installed environment may not work any more; its wheel does with any Python.
    [ $who = --system ] && lib=${prefix:-/usr/local}/lib/nivalis || lib=${prefix:-$HOME/.local}/lib/nivalis
    [ -n "$wheel" ] || for _folder in "$lib"/versions/*; do wheel=$(find_wheel "$_folder"); done
    [ -n "$wheel" ] || die "nivalis is not installed in $lib"
fi
python=$(find_python) || die "there is no Python 3.11 or newer; PYTHON names one"
[ -n "$wheel" ] || [ -z "$index" ] || fetch_wheel
[ -n "$wheel" ] || die "no wheel for $(uname -m) beside this script; --wheel names one, and in a checkout \`./dev wheel\` makes one"
[ -f "$wheel" ] || die "no such file: $wheel"

"$python" -I -c 'import sys; sys.path.insert(0, sys.argv[1]); from nivalis.install.program import main; main(sys.argv[2:])' \
    "$wheel" $action --wheel "$wheel" "$@"
