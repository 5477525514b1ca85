#!/bin/sh
# What mkosi does in a tree whose disk is to start: an initrd by dracut.  It runs this inside.
set -eu
for place in /lib/modules/*; do
    kernel-install add "${place##*/}" "/boot/vmlinuz-${place##*/}"
done
