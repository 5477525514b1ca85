# Partitions by what their table calls them (PARTUUID), which Busybox has no program for: the name of an entry in GPT; with MBR the disk's signature
# and the partition's number, as Linux makes a name of them.

# disk, offset, count, format: bytes of a disk
peek() { dd if="$1" bs=1 skip="$2" count="$3" 2> /dev/null | hexdump -v -e "$4"; }

# disk, number of a partition, bytes of a sector
name_partition() {
  if [ "$(peek "$1" "$3" 8 '1/1 "%02x"')" = 4546492050415254 ]; then
    table=$(peek "$1" $(($3 + 72)) 4 '1/4 "%u"')
    size=$(peek "$1" $(($3 + 84)) 4 '1/4 "%u"')
    # Of five groups the first three have their bytes the other way round.
    echo "$(peek "$1" $((table * $3 + ($2 - 1) * size + 16)) 16 '1/1 "%02x"')" |
      sed 's/^\(..\)\(..\)\(..\)\(..\)/\4\3\2\1-/; s/-\(..\)\(..\)\(..\)\(..\)\(....\)/-\2\1-\4\3-\5-/'
  else
    printf '%s-%02x\n' "$(peek "$1" 440 4 '1/4 "%08x"')" "$2"
  fi
}

# The device of the partition of a name, if there is one.
find_partition() {
  wanted=$(echo "$1" | tr A-F a-f)
  for file in /sys/class/block/*/partition; do
    if [ ! -e "$file" ]; then continue; fi
    partition=$(readlink -f "${file%/partition}")
    disk=${partition%/*}
    name=$(name_partition "/dev/${disk##*/}" "$(cat "$file")" "$(cat "$disk/queue/logical_block_size")")
    if [ "$name" = "$wanted" ]; then echo "/dev/${partition##*/}"; return; fi
  done
}
