/**
  Where users, groups and hosts are looked for: /etc/nsswitch.conf.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.system;
  database = example: description: mkOption { type = types.listOf types.str; default = [ ]; inherit example description; };
in
{
  options.system = {
    nssModules = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.debian.libnss-ldapd ]";
      description = "Packages that have modules of the name service switch.";
    };
    nssDatabases = {
      passwd = database [ "ldap" ] "Where users are looked for, in order.";
      group = database [ "ldap" ] "Where groups are looked for, in order.";
      shadow = database [ "ldap" ] "Where passwords are looked for, in order.";
      hosts = database [ "mdns" ] "Where hosts are looked for, in order.";
      services = database [ "db" ] "Where names of services are looked for, in order.";
    };
  };

  config = {
    system.nssModules = [ pkgs.debian.libnss-systemd pkgs.debian.libnss-myhostname ];
    system.nssDatabases = {
      passwd = lib.mkMerge [ (lib.mkBefore [ "files" ]) (lib.mkAfter [ "systemd" ]) ];
      group = lib.mkMerge [ (lib.mkBefore [ "files" ]) (lib.mkAfter [ "systemd" ]) ];
      shadow = lib.mkMerge [ (lib.mkBefore [ "files" ]) (lib.mkAfter [ "systemd" ]) ];
      hosts = lib.mkMerge [ (lib.mkBefore [ "files" ]) (lib.mkAfter [ "myhostname" "dns" ]) ];
      services = lib.mkBefore [ "files" ];
    };
    environment.systemPackages = cfg.nssModules;
    environment.etc."nsswitch.conf".text = lib.concatStrings (lib.mapAttrsToList (name: places: "${name}: ${toString places}\n") (cfg.nssDatabases // {
      ethers = [ "db" "files" ];
      gshadow = [ "files" "systemd" ];
      networks = [ "files" ];
      protocols = [ "db" "files" ];
      rpc = [ "db" "files" ];
    }));
  };
}
