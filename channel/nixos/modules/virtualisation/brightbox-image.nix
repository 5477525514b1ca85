/**
  A server of Brightbox Cloud, and the image that it is made from: `config.system.build.brightboxImage`.

  What differs from server to server is no part of the image: the disk's size, keys of ssh, names and data of the user come with the first start.
  The serial line and the screen are both consoles.
*/
{ config, lib, pkgs, ... }:
{
  imports = [ ../profiles/qemu-guest.nix ./instance-metadata.nix ];

  config = {
    system.build.brightboxImage = config.system.build.images.qcow2;

    # The server can rebuild itself: it has its definition, the channel it was made from, and nivalis.
    programs.nivalis.enable = lib.mkDefault true;
    virtualisation.diskImage = {
      channels = lib.mkDefault (pkgs.nivalis.makeChannels "nixos");
      contents = {
        "etc/nixos/configuration.nix" = lib.mkDefault ./brightbox-config.nix;
        "root/.nix-channels" = lib.mkDefault (pkgs.writeText "nix-channels" "debian:${(builtins.head pkgs.snapshot.suites).codename} nixos\n");
      };
    };

    fileSystems."/" = {
      device = "/dev/disk/by-label/${config.virtualisation.diskImage.label}";
      fsType = "ext4";
      autoResize = true;
    };
    boot = {
      growPartition = true;
      # The last console is what `/dev/console` means.  The timer of an emulated machine is there, but may be late where much else is done, of which a
      # kernel that looks for it dies.
      kernelParams = [ "console=tty0" "console=ttyS0,115200n8" "no_timer_check" ];
      loader.grub.device = lib.mkDefault "/dev/vda";
      loader.timeout = lib.mkDefault 3;
    };

    networking.hostName = lib.mkDefault "";
    networking.useDHCP = lib.mkDefault true;

    services.openssh = {
      enable = true;
      settings.PermitRootLogin = lib.mkDefault "prohibit-password";
    };
    services.instanceMetadata.enable = true;
  };
}
