# A bare Debian root, and how to run things in it as on a machine of its own.  Sourced by the scripts beside it, which set
# `release` (bookworm, trixie) and `name` (their own) before.
#
# Makes `root` (debootstrap --variant=minbase), or copies it from the folder BARE_BASE, which is one made before.  Packages come from
# this machine's own apt mirror, Python's and Rust's from where its pip and cargo are set to look: their settings and the certificates
# they trust are copied into the root.  KEEP=1 leaves the root for a look around, BARE_ROOT names where it is made (below /var/tmp
# otherwise).  What is said in it goes to `log`; `failed` becomes 1 when a step fails.
# shellcheck shell=sh

[ "$(id -u)" = 0 ] || { echo "$name: must be root, for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || [ -n "${BARE_BASE:-}" ] || { echo "$name: install debootstrap" >&2; exit 1; }

root=${BARE_ROOT:-/var/tmp/nivalis-bare-$release.$$}
[ ! -e "$root" ] || { echo "$name: exists already: $root" >&2; exit 1; }
log=$root.log
failed=0

cleanup() {
    # Nothing is removed as long as anything is mounted below it.
    for _mount in dev/pts dev/shm dev proc; do
        if mountpoint -q "$root/$_mount"; then umount "$root/$_mount"; fi
    done
    [ -n "${KEEP:-}" ] && { echo "kept: $root" >&2; return; }
    rm -rf --one-file-system "$root"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---------------------------------------------------------------------- the root

# What this machine's apt uses for Debian's packages, as "address suite", the base archive first.
sources() {
    apt-get indextargets --format '$(SITE) $(RELEASE) $(CODENAME) $(COMPONENT)' 'Identifier: Packages' | sort -u
}
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(sources | awk -v here="$here" '$2 == here || $3 == here { print $1; exit }')
security=$(sources | awk -v here="$here" '$2 ~ here "-security" || $3 ~ here "-security" { print $1; exit }')
[ -n "$mirror" ] || { echo "$name: this machine's apt has no archive of $here" >&2; exit 1; }

if [ -n "${BARE_BASE:-}" ]; then
    cp -a "$BARE_BASE" "$root"
else
    debootstrap --variant=minbase "$release" "$root" "$mirror" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
fi
{
    echo "deb $mirror $release main"
    echo "deb $mirror $release-updates main"
    [ -z "$security" ] || echo "deb $security $release-security main"
} >"$root/etc/apt/sources.list"

copy() { # copy <file or folder>: to the same place in the root
    [ ! -e "$1" ] || { mkdir -p "$root$(dirname "$1")" && cp -aL "$1" "$root$(dirname "$1")/"; }
}
copy /etc/resolv.conf
copy /etc/hosts
copy /etc/pip.conf
copy /etc/ssl/certs/ca-certificates.crt
copy /usr/local/share/ca-certificates
for _file in .config/pip/pip.conf .pip/pip.conf .cargo/config.toml .cargo/config; do
    if [ -e "$HOME/$_file" ]; then mkdir -p "$root/root/$(dirname "$_file")" && cp -L "$HOME/$_file" "$root/root/$_file"; fi
done
for _file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*proxy* /etc/apt/auth.conf /etc/apt/auth.conf.d; do copy "$_file"; done

mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for _node in null zero full random urandom tty; do
    cp -a "/dev/$_node" "$root/dev/$_node"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

# ---------------------------------------------------------------------- what has to work in it

# The root becomes that of a mount namespace: in a chroot the kernel allows no user namespaces, so nothing could be built there, and
# CppNix, which goes back to the mounts that it was started with, would leave it.
enter='mount --rbind "$1" "$1" && cd "$1" && mkdir -p .host && pivot_root . .host && umount -l /.host && cd /root && eval "$2"'

# Only what a login there would have, and how to reach the registries.  The machine may be busy with more than this.
inside() {
    env -i HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin NIVALIS_TEST_SLACK=3 \
        $(env | grep -E '^(PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT)|SSL_CERT_FILE|CARGO_HTTP_[A-Z_]*|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)=[^[:space:]]*$' || true) \
        unshare --mount --propagation private /bin/sh -c "$enter" sh "$root" "$1"
}

# step <name> <limit in seconds> <command>
step() {
    _start=$(date +%s.%N)
    _status=passed
    inside "$3" >>"$log" 2>&1 || _status=FAILED
    _seconds=$(echo "$_start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
    if [ $_status = passed ] && echo "$_seconds $2" | awk '{ exit !($1 > $2) }'; then _status="FAILED (more than $2 s)"; fi
    printf '%-28s %8s s  %s\n' "$1" "$_seconds" "$_status"
    [ "$_status" = passed ] || failed=1
}

# finish: end in success only if all went well.
finish() {
    [ $failed = 0 ] || { echo "$name: failed; the last lines of $log:" >&2; tail -n 60 "$log" >&2; }
    exit $failed
}
