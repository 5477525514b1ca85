#!/bin/sh
# Is an image the same whoever makes it, and where?
#
#   tests/bare_image.sh [release ...]   bookworm and trixie, if none is named; as root; run by hand, as it takes long
#
# For each release makes a bare root (bare_debian.sh says how, and by what it is set), installs what is in dist/ as `./dev wheel` has made it,
# as root and as an ordinary user, and lets each build the image for Brightbox by the commands of docs/guides/images.md, from nothing, in a store
# of its own.  Prints a line for each, then the images' hashes, and ends in success only if there is one.  Each needs some 4 GB while it runs.

set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
if [ $# != 1 ]; then
    [ $# != 0 ] || set -- bookworm trixie
    sums=$(mktemp)
    for release; do
        SUMS=$sums sh "$0" "$release" || { rm "$sums"; exit 1; }
    done
    cat "$sums"
    count=$(cut -d ' ' -f 1 "$sums" | sort -u | wc -l)
    rm "$sums"
    [ "$count" = 1 ] || { echo "bare_image: $count different images" >&2; exit 1; }
    exit
fi

release=$1
name=bare_image
dist=${DIST:-$checkout/dist}
ls "$dist"/nivalis-*.whl >/dev/null || { echo "bare_image: run ./dev wheel first" >&2; exit 1; }
. "$checkout/tests/bare_debian.sh"

mkdir "$root/opt/dist"
cp "$dist"/*.whl "$checkout/install.sh" "$root/opt/dist/"
# The last line of each is what is compared: the image, and the snapshot of Debian that it is of.
cat >"$root/opt/image.sh" <<'END'
set -eu
sh /opt/dist/install.sh "$@"
env -i HOME="$HOME" USER="$(id -un)" TERM=dumb PATH=/usr/local/bin:/usr/bin:/bin sh -lc '
    set -eu
    cd
    nivalis channel add nixos debian:bookworm
    nivalis channel update nixos
    channel=$(readlink -f ~/.nix-defexpr/channels/nixos)
    export NIXOS_CONFIG=$channel/nixos/modules/virtualisation/brightbox-config.nix
    nix-build "<nixos/nixos>" -A config.system.build.brightboxImage --argstr system x86_64-linux
    sha256sum <result/nixos.qcow2 >sum
'
END
step "$release: packages" 900 '! sh /opt/dist/install.sh --with-packages --wheel /nothing && command -v bwrap'
step "$release: as root" 3600 'sh /opt/image.sh'
step "$release: as a user" 3600 'useradd -m -s /bin/bash me && su me -c "HOME=/home/me sh /opt/image.sh"'
for who in root home/me; do
    [ $failed = 1 ] || echo "$(cut -d ' ' -f 1 "$root/$who/sum") $release $who" | tee -a "${SUMS:-/dev/null}"
done
finish
