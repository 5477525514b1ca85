/**
  The initrd: the little system that finds the root file system and hands the machine over to the real one.

  It is Busybox, the modules that disks need, e2fsck, and a script.  The kernel's command line may say otherwise where the root is (`root=`,
  `rootfstype=`, `rootflags=`), and says what is started on it (`init=`).
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.boot.initrd;

  needed = lib.sort (a: b: a.mountPoint < b.mountPoint) (builtins.filter utils.fsNeededForBoot (builtins.attrValues config.fileSystems));
  whatOf = fs: if fs.device != null then fs.device else "/dev/disk/by-label/${fs.label}";
  # The kernel mounts those of other types whatever has become of them, and replays their journals.
  isChecked = fs: cfg.checkJournalingFS && !fs.noCheck && lib.elem fs.fsType [ "ext2" "ext3" "ext4" ];
  mounts = map (fs: { where = fs.mountPoint; what = whatOf fs; type = fs.fsType; inherit (fs) options; check = isChecked fs; }) needed;

  commands = example: description: mkOption { type = types.lines; default = ""; inherit example description; };

  initrd = utils.runPython "initrd"
    {
      description = builtins.toJSON {
        tree = "${config.system.build.modules}/lib/modules/${config.system.build.kernelVersion}";
        busybox = "${pkgs.debian.busybox-static}/bin/busybox";
        script = "${./initrd.sh}";
        library = "${./partitions.sh}";
        checker = if lib.any isChecked needed then "${pkgs.debian.e2fsck-static}/sbin/e2fsck.static" else null;
        inherit mounts;
        load = cfg.kernelModules;
        available = cfg.availableKernelModules;
        filesystems = lib.unique (map (fs: fs.fsType) needed ++ cfg.supportedFilesystems);
        commands = { preDevice = cfg.preDeviceCommands; postDevice = cfg.postDeviceCommands; postMount = cfg.postMountCommands; };
        inherit (cfg) verbose;
        configuration = config.boot.extraModprobeConfig;
      };
      passAsFile = [ "description" ];
    }
    ./make-initrd.py;
in
{
  options.boot.initrd = {
    enable = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether there is an initrd; without, the kernel itself must be able to mount the root.";
    };
    kernelModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "9p" ];
      description = "Modules that the initrd loads in any case.";
    };
    availableKernelModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "megaraid_sas" ];
      description = "Modules that are in the initrd, and loaded when their devices are found; one that the kernel does not have is left out.";
    };
    includeDefaultModules = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the usual disks' modules are in the initrd.";
    };
    supportedFilesystems = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "xfs" ];
      description = "Types of file systems that the initrd can mount, beside those that it has to.";
    };
    checkJournalingFS = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the initrd checks file systems of ext2, ext3 and ext4 before it mounts them, and mends what needs no decision.";
    };
    preDeviceCommands = commands "echo looking for disks" "What the initrd's shell does before modules are loaded.";
    postDeviceCommands = commands "blkid" "What it does once disks are there, before anything is mounted.";
    postMountCommands = commands "ls /root" "What it does once the root is mounted, at /root.";
    verbose = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the initrd says what it does.";
    };
  };

  config = lib.mkIf cfg.enable {
    boot.initrd.availableKernelModules = lib.mkIf cfg.includeDefaultModules [
      "virtio_pci" "virtio_mmio" "virtio_blk" "virtio_scsi" "ahci" "ata_piix" "sata_nv" "nvme" "sd_mod" "sr_mod" "xhci_pci" "ehci_pci" "uhci_hcd" "usb_storage"
      "usbhid" "hv_storvsc" "xen_blkfront" "vmw_pvscsi" "mptspi"
    ];
    system.build.initialRamdisk = "${initrd}/initrd";
    assertions = [ {
      assertion = config.fileSystems ? "/";
      message = "`fileSystems.\"/\"` is not declared: where is this machine's root?  (`boot.isContainer = true;` if it is a container)";
    } ];
  };
}
