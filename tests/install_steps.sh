# What an installation has to be able to do, on a machine that is only for this: tests/bare_install.sh runs it in a bare Debian.
#
#   sh install_steps.sh FOLDER              as root, or as an ordinary user
#
# FOLDER has install.sh and a wheel.  Installs, builds in the sandbox, fills a profile, starts a shell, collects garbage, upgrades, fails to
# upgrade, is killed while it upgrades, and removes all; compares the tree of files with what it was.  Ends at the first thing that is wrong.

set -eu
dist=$1; shift
work=$(mktemp -d /tmp/steps.XXXXXX)
cd "$work"
if [ "$(id -u)" = 0 ]; then prefix=/usr/local store=/nix; else prefix=$HOME/.local store=$HOME/.local/share/nix/root/nix; fi

step() { echo "== $*"; }
fail() { echo "FAILED: $*"; exit 1; }
# What there is, but for what the system itself writes meanwhile and the copies that useradd makes of its files.
snapshot() {
    find / \( -path /proc -o -path /dev -o -path /sys -o -path /tmp -o -path /run -o -path /var/log -o -path /var/cache \) -prune -o \
        \( -type f -o -type l -o -type d \) -printf '%p %y %m %l\n' 2>/dev/null |
        grep -vE '^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-|etc/.pwd.lock) ' | sort
    find /etc "$HOME" -xdev -type f ! -name '*-' -exec sha256sum {} + 2>/dev/null | sort
}
# As a login would: the profile is what makes the commands be found.
login() { env -i HOME="$HOME" USER="$(id -un)" TERM=dumb PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin sh -lc "cd $work && $1"; }
install() { sh "$dist/install.sh" "$@"; }

# A folder with a wheel that is the same but for its hash.
newer() {
    mkdir "$1" && cp "$dist"/*.whl "$dist/install.sh" "$1"
    python3 -c 'import glob, sys, zipfile; zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0], "a").comment = sys.argv[1].encode()' "$1"
}
install_newer() { _folder=$1; shift; sh "$_folder/install.sh" "$@"; }

cat >packages.nix <<'END'
let
  script = name: text: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "mkdir -p $out/bin && echo '#!/bin/sh' >$out/bin/greet && echo 'echo ${text}' >>$out/bin/greet && chmod +x $out/bin/greet" ];
  };
in rec {
  greet = script "greet-1.0" "hello";
  shell = derivation { name = "shell"; system = builtins.currentSystem; builder = "/bin/sh"; inherit greet; };
}
END

snapshot >before

step install
install "$@"
login 'nivalis --version'
# Also where no login shell has read anything.
"$prefix/bin/nix-store" --version

step build
login 'nix-build packages.nix -A greet'
[ "$(readlink result)" != "" ] || fail "no result"
[ -d "$store/store" ] || fail "the store is not in $store"
grep -q hello "$(login 'realpath result')/bin/greet"

step profile
login 'nix-env -f packages.nix -iA greet && nix-env -q' | grep -qx greet-1.0 || fail "not in the profile"
if [ "$(id -u)" = 0 ]; then [ "$(login greet)" = hello ] || fail "what is installed is not on the PATH"; fi

step shell
[ "$(login "nix-shell packages.nix -A shell --run '\$greet/bin/greet'")" = hello ] || fail "the shell says something else"

step collect
login 'nix-store --gc' | grep -q deleted
login 'nix-env -q' | grep -qx greet-1.0 || fail "the collector took what is installed"

step "again, with nothing to do"
install "$@" 2>&1 | grep -q 'up to date' || fail "it did something"

step upgrade
newer one
before=$(readlink "$prefix/lib/nivalis/current")
install_newer one "$@" 2>&1 | grep -q upgraded || fail "it did not upgrade"
[ "$(readlink "$prefix/lib/nivalis/current")" != "$before" ] || fail "still the old version"
login 'nix-env -q' | grep -qx greet-1.0

step "a failure leaves the old one"
newer two
mkdir empty
! install_newer two --find-links "$work/empty" 2>&1 || fail "it installed from nothing"
login 'nix-env -q' | grep -qx greet-1.0

step "killed, and whole after the next run"
for seconds in 0.5 1 3 6; do
    timeout -s KILL $seconds sh "$work/two/install.sh" "$@" || true
    login 'nix-env -q' | grep -qx greet-1.0 || fail "nothing works after a kill"
done
install_newer two "$@"
login 'nix-env -q' | grep -qx greet-1.0
[ "$(find "$prefix/lib/nivalis/versions" -mindepth 1 -maxdepth 1 | wc -l)" -le 2 ] || fail "old versions are not removed"

step "remove, but not the store"
login 'nivalis uninstall --keep-store'
[ -d "$store/store" ] || fail "the store is gone"
[ ! -e "$prefix/lib/nivalis" ] || fail "not all is gone"
install "$@"
login 'nix-env -q' | grep -qx greet-1.0 || fail "the profile is not what it was"

step "remove all"
rm -f result
sh "$dist/install.sh" --remove --delete-store
snapshot >after
diff before after || fail "something is left, or missing"
cd / && rm -rf "$work"
echo "== all went well"
