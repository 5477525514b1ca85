/**
  File systems that are mounted: /etc/fstab, from which systemd makes its mounts.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;

  # Ordered by their places, so that what holds another comes first.
  fileSystems = lib.sort (a: b: a.mountPoint < b.mountPoint) (builtins.attrValues config.fileSystems);

  unchecked = [ "none" "auto" "overlay" "9p" "tmpfs" "ramfs" "nfs" "nfs4" "cifs" "btrfs" "xfs" "zfs" "virtiofs" "squashfs" "iso9660" "vfat" "bind" ];
  isChecked = fs: !fs.noCheck && !lib.elem fs.fsType unchecked && !lib.elem "bind" fs.options && lib.hasPrefix "/dev/" (whatOf fs);
  whatOf = fs:
    if fs.device != null then fs.device
    else if fs.label != null then "/dev/disk/by-label/${lib.escape [ " " ] fs.label}"
    else throw "`fileSystems.${builtins.toJSON fs.mountPoint}` has neither a `device` nor a `label`";
  field = text: builtins.replaceStrings [ " " "\t" ] [ "\\040" "\\011" ] text;
  # A file system that others must wait for.
  dependsOf = fs: map (place: "x-systemd.requires-mounts-for=${place}") fs.depends;

  line = fs: lib.concatStringsSep " " [
    (field (whatOf fs)) (field fs.mountPoint) fs.fsType (lib.concatStringsSep "," (fs.options ++ dependsOf fs)) "0"
    (if !isChecked fs then "0" else if fs.mountPoint == "/" then "1" else "2")
  ] + "\n";

  # What can mount and check them.
  programs = {
    ext2 = [ "e2fsprogs" ]; ext3 = [ "e2fsprogs" ]; ext4 = [ "e2fsprogs" ]; btrfs = [ "btrfs-progs" ]; xfs = [ "xfsprogs" ]; vfat = [ "dosfstools" ];
    nfs = [ "nfs-common" ]; nfs4 = [ "nfs-common" ]; cifs = [ "cifs-utils" ];
  };

  fileSystem = { name, ... }: {
    options = {
      mountPoint = mkOption {
        type = types.str;
        default = name;
        defaultText = literalExpression "the attribute's name";
        example = "/srv";
        description = "The folder it is mounted at.";
      };
      device = mkOption {
        type = with types; nullOr nonEmptyStr; default = null; example = "/dev/vda1"; description = "The device, or what the type takes in place of one.";
      };
      label = mkOption {
        type = with types; nullOr nonEmptyStr; default = null; example = "nixos"; description = "The file system's label, in place of its device.";
      };
      fsType = mkOption { type = types.nonEmptyStr; default = "auto"; example = "ext4"; description = "The type."; };
      options = mkOption {
        type = types.nonEmptyListOf types.nonEmptyStr; default = [ "defaults" ]; example = [ "noatime" "nofail" ]; description = "The mount's options.";
      };
      depends = mkOption {
        type = with types; listOf nonEmptyStr;
        default = [ ];
        example = [ "/data" ];
        description = "Folders whose file systems must be there before.";
      };
      neededForBoot = mkOption {
        type = types.bool; default = false; example = true; description = "Whether the initrd mounts it, before the system is activated.";
      };
      noCheck = mkOption { type = types.bool; default = false; example = true; description = "Whether it is mounted without being checked."; };
      autoFormat = mkOption {
        type = types.bool; default = false; example = true; description = "Whether a device that has no file system yet is given one.";
      };
      autoResize = mkOption {
        type = types.bool; default = false; example = true; description = "Whether the file system grows to its device's size at boot.";
      };
      formatOptions = mkOption {
        type = with types; nullOr str; default = null; example = "-L data"; description = "Options of `mkfs` for `autoFormat`.";
      };
    };
  };
in
{
  options = {
    fileSystems = mkOption {
      type = types.attrsOf (types.submodule fileSystem);
      default = { };
      example = { "/srv" = { device = "/dev/vdb"; fsType = "ext4"; autoFormat = true; }; };
      description = "File systems, by the folders they are mounted at.";
    };
    boot.supportedFilesystems = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "btrfs" ];
      description = "Types of file systems whose programs are there although nothing of the type is declared.";
    };
    boot.specialFileSystems = mkOption {
      type = types.attrsOf (types.submodule fileSystem);
      default = { };
      example = { "/dev/hugepages2" = { device = "hugetlbfs"; fsType = "hugetlbfs"; }; };
      internal = true;
      description = "File systems that the kernel makes, beside those that systemd mounts anyway.";
    };
  };

  config = {
    boot.supportedFilesystems = map (fs: fs.fsType) fileSystems;
    environment.systemPackages = map (name: pkgs.debian.${name}) (lib.unique (lib.concatMap (type: programs.${type} or [ ]) (lib.unique config.boot.supportedFilesystems)));

    environment.etc.fstab.text =
      "# From fileSystems and swapDevices; what is changed here is lost.\n"
      + lib.concatMapStrings line (fileSystems ++ builtins.attrValues config.boot.specialFileSystems)
      + config.system.build.fstabSwaps;

    system.build.data.mounts = map
      (fs: { where = fs.mountPoint; what = whatOf fs; type = fs.fsType; inherit (fs) options; neededForBoot = utils.fsNeededForBoot fs; check = isChecked fs; })
      fileSystems;

    systemd.services = lib.listToAttrs (lib.concatMap
      (fs:
        let
          escaped = utils.escapeSystemdPath (whatOf fs);
          device = "${escaped}.device";
          mountUnit = "${utils.escapeSystemdPath fs.mountPoint}.mount";
          common = {
            requires = [ device ];
            after = [ device ];
            path = [ pkgs.debian.util-linux pkgs.debian.e2fsprogs ] ++ map (name: pkgs.debian.${name}) (programs.${fs.fsType} or [ ]);
            unitConfig.DefaultDependencies = false;
            serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
          };
        in
        lib.optional fs.autoFormat {
          name = "mkfs-${escaped}";
          value = common // {
            description = "A file system for ${fs.mountPoint}, if there is none";
            requiredBy = [ mountUnit ];
            before = [ mountUnit "systemd-fsck@${escaped}.service" ];
            script = ''
              if ! blkid -p ${lib.escapeShellArg (whatOf fs)} > /dev/null; then
                mkfs.${fs.fsType} ${if fs.formatOptions != null then fs.formatOptions else lib.optionalString (fs.label != null) "-L ${lib.escapeShellArg fs.label}"} ${lib.escapeShellArg (whatOf fs)}
              fi
            '';
          };
        }
        ++ lib.optional fs.autoResize {
          name = "growfs-${utils.escapeSystemdPath fs.mountPoint}";
          value = common // {
            description = "The file system at ${fs.mountPoint} as large as its device";
            wantedBy = [ "local-fs.target" ];
            after = [ device mountUnit ];
            before = [ "shutdown.target" ];
            conflicts = [ "shutdown.target" ];
            script = "resize2fs ${lib.escapeShellArg (whatOf fs)}";
          };
        })
      fileSystems);

    assertions = map
      (fs: {
        assertion = !fs.autoResize || lib.elem fs.fsType [ "ext2" "ext3" "ext4" ];
        message = "`fileSystems.${builtins.toJSON fs.mountPoint}.autoResize` is for ext2, ext3 and ext4, not for ${fs.fsType}";
      })
      fileSystems;
  };
}
