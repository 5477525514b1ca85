/**
  The kernel's settings at run time: `boot.kernel.sysctl`.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.boot.kernel.sysctl;
  show = value: if value == true then "1" else if value == false then "0" else toString value;
  set = lib.filterAttrs (_: value: value != null) cfg;
in
{
  options.boot.kernel.sysctl = mkOption {
    type = types.attrsOf (with types; nullOr (oneOf [ bool int str ]));
    default = { };
    example = { "net.ipv4.ip_forward" = 1; "vm.swappiness" = 10; };
    description = "Settings by their names in sysctl(8); null leaves one to the kernel.";
  };

  config = {
    boot.kernel.sysctl = {
      # A host's addresses are no secret of its kernel's, but pointers are.
      "kernel.kptr_restrict" = lib.mkDefault 1;
      "net.ipv4.ping_group_range" = lib.mkDefault "0 2147483647";
    };
    environment.etc."sysctl.d/60-nixos.conf".text = lib.concatStrings (lib.mapAttrsToList (name: value: "${name}=${show value}\n") set);
    systemd.services.systemd-sysctl = {
      overrideStrategy = "asDropin";
      restartTriggers = [ config.environment.etc."sysctl.d/60-nixos.conf".source ];
    };
    system.build.data.kernel.sysctl = lib.mapAttrs (_: show) set;
  };
}
