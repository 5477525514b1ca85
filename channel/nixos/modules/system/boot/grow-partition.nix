/**
  The root's partition as large as its disk: a disk made from an image is larger than the image.
*/
{ config, lib, pkgs, ... }:
{
  options.boot.growPartition = lib.mkOption {
    type = lib.types.bool;
    default = false;
    example = true;
    description = ''
      Whether the partition of the root is made as large as its disk allows, at each start, if it is the disk's last one.  The file system follows
      by `fileSystems."/".autoResize`.
    '';
  };

  config = lib.mkIf config.boot.growPartition {
    systemd.services.grow-partition = {
      description = "The root's partition as large as its disk";
      wantedBy = [ "local-fs.target" ];
      after = [ "-.mount" ];
      before = [ "growfs--.service" "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig.DefaultDependencies = false;
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      path = with pkgs.debian; [ fdisk util-linux coreutils ];
      script = ''
        partition=$(basename "$(readlink -f "$(findmnt --noheadings --output SOURCE --nofsroot /)")")
        if [ ! -e "/sys/class/block/$partition/partition" ]; then
          echo "the root is no partition"
          exit
        fi
        disk=$(basename "$(dirname "$(readlink -f "/sys/class/block/$partition")")")
        number=$(< "/sys/class/block/$partition/partition")
        end=$(( $(< "/sys/class/block/$partition/start") + $(< "/sys/class/block/$partition/size") ))
        # In sectors; what is left of the last MiB is not worth it.
        if [ $(( $(< "/sys/class/block/$disk/size") - end )) -ge 4096 ]; then
          echo ', +' | sfdisk --quiet --no-reread --force --partno "$number" "/dev/$disk"
          partx --update --nr "$number" "/dev/$disk"
        fi
      '';
    };
  };
}
