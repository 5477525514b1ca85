/**
  QEMU's guest agent: the host can ask this machine for its addresses, freeze its file systems, and shut it down.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.services.qemuGuest;
in
{
  options.services.qemuGuest = {
    enable = lib.mkEnableOption "QEMU's guest agent";
    package = mkOption {
      type = types.package;
      default = pkgs.debian.qemu-guest-agent;
      defaultText = literalExpression "pkgs.debian.qemu-guest-agent";
      example = literalExpression "pkgs.debian.qemu-guest-agent";
      description = "The package that has the agent.";
    };
  };

  config = lib.mkIf cfg.enable {
    # With its rule for udev, by which systemd hears of the device.
    environment.systemPackages = [ cfg.package ];
    systemd.services.qemu-guest-agent = rec {
      description = "QEMU Guest Agent";
      bindsTo = [ "dev-virtio\\x2dports-org.qemu.guest_agent.0.device" ];
      after = bindsTo;
      wantedBy = bindsTo;
      serviceConfig = {
        ExecStart = "${cfg.package}/sbin/qemu-ga --statedir /run/qemu-ga";
        RuntimeDirectory = "qemu-ga";
        Restart = "always";
        RestartSec = 0;
      };
    };
  };
}
