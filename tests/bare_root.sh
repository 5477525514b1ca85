#!/bin/sh
# Does `./dev setup && ./dev test` work on a Debian that has nothing?
#
#   tests/bare_root.sh [--full] [release]   bookworm (the default) or trixie; as root; run by hand, as it takes long
#
# Makes a bare root (bare_debian.sh says how, and by what it is set), clones the last commit of this checkout into it, and there runs
# setup cold, setup again (which must take less than 2 s), an evaluation, a short tour, and the tests.  With --full, it is the whole tour,
# and there are no tests.  Prints a line for each with its seconds, and ends in success only if all went well.

set -eu

is_full=no
[ "${1:-}" != --full ] || { is_full=yes; shift; }
release=${1:-bookworm}
name=bare_root
checkout=$(cd "$(dirname "$0")/.." && pwd)
. "$checkout/tests/bare_debian.sh"

git clone --quiet --no-local "$checkout" "$root/root/nivalis"

step "setup, cold" 1800 "cd nivalis && ./dev setup"
step "setup, again" 2 "cd nivalis && ./dev setup"
step "nix-instantiate" 10 "cd nivalis && test \"\$(.venv/bin/nix-instantiate --eval -E '1 + 1')\" = 2"
if [ $is_full = yes ]; then
    step "the whole tour" 3600 "cd nivalis && ./dev tour"
else
    step "tour" 1500 "cd nivalis && ./dev tour --short"
    step "test" 3600 "cd nivalis && ./dev test"
fi
finish
