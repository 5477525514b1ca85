/**
  Swap.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) mkOption types;

  optionsOf = swap:
    swap.options
    ++ lib.optional (swap.priority != null) "pri=${toString swap.priority}"
    ++ lib.optional (swap.discardPolicy != null) "discard${lib.optionalString (swap.discardPolicy != "both") "=${swap.discardPolicy}"}";
in
{
  options.swapDevices = mkOption {
    type = types.listOf (types.submodule ({ config, ... }: {
      options = {
        device = mkOption {
          type = types.str;
          default = "/dev/disk/by-label/${config.label}";
          defaultText = lib.literalExpression ''"/dev/disk/by-label/''${label}"'';
          example = "/var/swapfile";
          description = "The device or the file.";
        };
        label = mkOption { type = types.str; default = ""; example = "swap"; description = "The device's label, in place of its path."; };
        size = mkOption {
          type = with types; nullOr int;
          default = null;
          example = 2048;
          description = "The size in MiB of a file that is made if it is not there; null for one that is.";
        };
        priority = mkOption {
          type = with types; nullOr (ints.between 0 32767); default = null; example = 10; description = "The priority; the higher is used first.";
        };
        discardPolicy = mkOption {
          type = with types; nullOr (enum [ "once" "pages" "both" ]);
          default = null;
          example = "once";
          description = "When the device is told what is free.";
        };
        options = mkOption { type = types.listOf types.str; default = [ ]; example = [ "nofail" ]; description = "Further options, as in fstab(5)."; };
      };
    }));
    default = [ ];
    example = [ { device = "/dev/vdb1"; } ];
    description = "Devices and files for swapping.";
  };

  config = {
    system.build.data.swaps = map (swap: { what = swap.device; options = optionsOf swap; }) config.swapDevices;
    system.build.fstabSwaps = lib.concatMapStrings
      (swap: "${lib.escape [ " " ] swap.device} none swap ${lib.concatStringsSep "," ([ "defaults" ] ++ optionsOf swap)} 0 0\n")
      config.swapDevices;

    systemd.services = lib.listToAttrs (map
      (swap:
        let unit = "${utils.escapeSystemdPath swap.device}.swap"; in
        {
          name = "mkswap-${utils.escapeSystemdPath swap.device}";
          value = {
            description = "Make the swap file ${swap.device}";
            wantedBy = [ unit ];
            before = [ unit "shutdown.target" ];
            conflicts = [ "shutdown.target" ];
            path = [ pkgs.debian.util-linux pkgs.debian.e2fsprogs ];
            unitConfig = { DefaultDependencies = false; RequiresMountsFor = [ (builtins.dirOf swap.device) ]; };
            serviceConfig = { Type = "oneshot"; RemainAfterExit = true; UMask = "0177"; };
            script = ''
              file=${lib.escapeShellArg swap.device}
              size=$((${toString swap.size} * 1048576))
              if [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" != "$size" ]; then
                rm -f "$file"
                : > "$file"
                chattr +C "$file" 2>/dev/null || true
                fallocate -l "$size" "$file" || dd if=/dev/zero of="$file" bs=1M count=${toString swap.size}
                mkswap "$file"
              fi
            '';
          };
        })
      (builtins.filter (swap: swap.size != null) config.swapDevices));
  };
}
