#!/bin/busybox sh
# The first program of the machine.  `make-initrd.py` adds `modules.sh` (match_device, load_always), `mounts`, `commands.sh` and `partitions.sh`
# beside it, and the program e2fsck if a file system is to be checked.

/bin/busybox mkdir -p /dev /proc /root /run /sys /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t devtmpfs -o nosuid,mode=755 devtmpfs /dev
mkdir -p /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
# Kernel messages and ours are one log.
exec < /dev/console > /dev/console 2>&1

init= root= type= flags= access= verbose=@verbose@ on_failure=
for word in $(cat /proc/cmdline); do
  case $word in
    init=*) init=${word#init=} ;;
    root=*) root=${word#root=} ;;
    rootfstype=*) type=${word#rootfstype=} ;;
    rootflags=*) flags=${word#rootflags=} ;;
    ro) access=ro ;;
    rw) access=rw ;;
    quiet) verbose= ;;
    boot.shell_on_fail) on_failure=shell ;;
    boot.panic_on_fail) on_failure=panic ;;
    boot.trace) set -x ;;
  esac
done

say() { if [ -n "$verbose" ]; then echo "stage 1: $*"; fi; }

fail() {
  echo "stage 1: error: $*"
  if [ "$on_failure" = shell ]; then
    echo "a shell; its end starts the machine again"
    setsid cttyhack sh
  elif [ "$on_failure" != panic ]; then
    echo "the machine starts again in 60 seconds; with boot.shell_on_fail on the kernel's command line there is a shell here"
    sleep 60
  fi
  reboot -f
}

# name, then the files of what it needs and of itself, in order
load() {
  shift
  for file in "$@"; do
    name=${file##*/}
    name=$(echo "${name%.ko}" | tr - _)
    if [ ! -e "/sys/module/$name" ]; then insmod "$file" $(options_of "$name") 2> /dev/null || say "$name could not be loaded"; fi
  done
}

load_for_devices() {
  find /sys/devices -name modalias -exec cat {} + 2> /dev/null | sort -u > /tmp/found
  # All that is known for the same devices has been tried.
  if cmp -s /tmp/found /tmp/devices 2> /dev/null; then return; fi
  mv /tmp/found /tmp/devices
  while read -r device; do match_device "$device"; done < /tmp/devices
}

. /modules.sh
. /commands.sh
. /partitions.sh

pre_device
load_always
# What is found behind one device asks for the next.
load_for_devices
load_for_devices
load_for_devices
post_device

# The device that a name stands for, once it is there.
find_device() {
  case $1 in
    /dev/disk/by-label/*) findfs "LABEL=${1#/dev/disk/by-label/}" ;;
    /dev/disk/by-uuid/*) findfs "UUID=${1#/dev/disk/by-uuid/}" ;;
    /dev/disk/by-partuuid/*) find_partition "${1#/dev/disk/by-partuuid/}" ;;
    LABEL=* | UUID=*) findfs "$1" ;;
    PARTUUID=*) find_partition "${1#PARTUUID=}" ;;
    /dev/*) if [ -b "$1" ]; then echo "$1"; fi ;;
    *) echo "$1" ;;
  esac 2> /dev/null
}

wait_for_device() {
  tries=0
  device=$(find_device "$1")
  while [ -z "$device" ]; do
    tries=$((tries + 1))
    if [ $tries = 1 ]; then say "waiting for $1"; fi
    if [ $tries = 100 ]; then fail "there is no $1"; fi
    sleep 0.2
    load_for_devices
    device=$(find_device "$1")
  done
}

# What is wrong without being dangerous is mended without a question.
check_device() {
  say "checking $device"
  e2fsck -p "$device"
  status=$?
  # The bits of fsck(8): 1 is mended, 2 asks for a new start, those from 4 on are left for somebody.
  if [ $((status & 2)) != 0 ]; then reboot -f; fi
  if [ $status -ge 4 ]; then fail "$device has errors, which \`e2fsck $device\` asks about"; fi
}

# what, where, type, options, whether it is checked; in the order in which they have to be mounted
mount_one() {
  what=$1 where=$2 kind=$3 options=$4 checked=$5
  if [ "$where" = / ]; then
    what=${root:-$what} kind=${type:-$kind} options=${flags:-$options}
    options=$options${access:+,$access}
  fi
  wait_for_device "$what"
  if [ -n "$checked" ]; then check_device; fi
  say "mounting $device on $where"
  mkdir -p "/root$where"
  mount -t "$kind" -o "$options" "$device" "/root$where" || fail "$device cannot be mounted on $where"
}
has_root=
# Programs have the console for their questions, so the list is read beside it.
while read -r what where kind options checked <&3; do
  if [ "$where" = / ]; then has_root=1; fi
  mount_one "$what" "$where" "$kind" "$options" "$checked"
done 3< /mounts
if [ -z "$has_root" ]; then mount_one "$root" / "${type:-auto}" defaults; fi
post_mount

if [ -z "$init" ]; then fail "no init= on the kernel's command line"; fi
# It may be a link into a store that is only there once one is on the root.
if [ ! -e "/root$init" ] && [ ! -L "/root$init" ]; then fail "there is no $init on the root"; fi
for folder in proc sys dev run; do
  mkdir -p "/root/$folder"
  mount -o move "/$folder" "/root/$folder"
done
exec switch_root /root "$init"
