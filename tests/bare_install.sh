#!/bin/sh
# Can nivalis be installed on a Debian that has nothing, used, upgraded, and removed without a trace?
#
#   tests/bare_install.sh [release]     bookworm (the default) or trixie; as root; run by hand, as it takes minutes
#
# Makes a bare root (bare_debian.sh says how, and by what it is set), puts dist/ there as `./dev wheel` has made it, and goes through
# install_steps.sh as root and as an ordinary user, and as the user once more without a network, from a folder of wheels.
# Prints a line for each with its seconds, and ends in success only if all went well.

set -eu

release=${1:-bookworm}
name=bare_install
checkout=$(cd "$(dirname "$0")/.." && pwd)
dist=${DIST:-$checkout/dist}
ls "$dist"/nivalis-*.whl >/dev/null || { echo "bare_install: run ./dev wheel first" >&2; exit 1; }
. "$checkout/tests/bare_debian.sh"

mkdir "$root/opt/dist"
cp "$dist"/*.whl "$checkout/install.sh" "$checkout/requirements/runtime.lock" "$checkout/tests/install_steps.sh" "$root/opt/dist/"

step "what is missing is named" 60 '! sh /opt/dist/install.sh 2>/root/said && grep "python3 python3-venv.* bubblewrap busybox-static" /root/said && rm /root/said'
step "packages" 900 '! sh /opt/dist/install.sh --with-packages --wheel /nothing && command -v bwrap && python3 -m venv /tmp/venv'
step "as root" 1800 'sh /opt/dist/install_steps.sh /opt/dist --build-users 2'
step "as a user" 1800 'useradd -m -s /bin/bash me && su me -c "HOME=/home/me sh /opt/dist/install_steps.sh /opt/dist"'
step "wheels" 900 '/tmp/venv/bin/pip download -q --no-deps --only-binary :all: --require-hashes -r /opt/dist/runtime.lock -d /opt/wheels'
step "as a user, offline" 1800 'unshare -n su me -c "HOME=/home/me sh /opt/dist/install_steps.sh /opt/dist --find-links /opt/wheels"'
finish
