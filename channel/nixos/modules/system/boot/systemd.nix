/**
  systemd and its units.

  The units that Debian's packages bring are in /usr/lib/systemd; here are the ones that a configuration declares, what it adds to
  those (`overrideStrategy = "asDropin"`), and which are started.  All of it is in /etc/systemd, read-only: enabling a unit by hand would be
  lost at the next switch anyway.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption optional types;
  cfg = config.systemd;

  # Which options there are cannot depend on the packages, as `utils` does.
  unitOptions = import ../../../lib/systemd-unit-options.nix { inherit lib; };
  systemdLib = utils.systemd;

  unitsOption = kind: example: description: mkOption {
    type = types.attrsOf (types.submodule { options = unitOptions.${kind}; });
    default = { };
    inherit example;
    description = "${description}, by their names without the suffix.";
  };
  unitList = kind: example: description: mkOption {
    type = types.listOf (types.submodule { options = unitOptions.${kind}; });
    default = [ ];
    inherit example description;
  };
  kinds = manager: {
    services = unitsOption "service" { web = { wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "/usr/bin/web"; }; } "Services${manager}";
    sockets = unitsOption "socket" { web.listenStreams = [ "80" ]; } "Sockets${manager}";
    timers = unitsOption "timer" { backup.timerConfig.OnCalendar = "daily"; } "Timers${manager}";
    paths = unitsOption "path" { inbox.pathConfig.PathChanged = "/srv/inbox"; } "Paths that are watched${manager}";
    slices = unitsOption "slice" { guests.sliceConfig.MemoryMax = "1G"; } "Slices${manager}";
    targets = unitsOption "target" { web.wants = [ "lighttpd.service" ]; } "Targets${manager}";
    units = mkOption {
      type = types.attrsOf (types.submodule { options = unitOptions.raw; });
      default = { };
      example = { "hello.service".text = "[Service]\nExecStart=/usr/bin/true\n"; };
      description = "Units as texts${manager}, by their whole names.";
    };
  };

  # Where a service starts at times, there is a timer that does so.
  timersOf = services: lib.mapAttrs
    (name: service: {
      wantedBy = [ "timers.target" ];
      timerConfig.OnCalendar = service.startAt;
    })
    (lib.filterAttrs (_: service: service.enable && service.startAt != [ ]) services);

  units = systemdLib.unitsOf { environment = cfg.globalEnvironment; path = defaultPath; } cfg;
  userUnits = systemdLib.unitsOf { environment = { }; path = defaultPath; } (cfg.user // { mounts = [ ]; automounts = [ ]; });
  defaultPath = with pkgs.debian; [ coreutils findutils grep sed pkgs.debian.systemd ];
  tree = utils.makeTree "system-units" {
    files = systemdLib.filesOf "system" units // {
      "default.target".link = "/usr/lib/systemd/system/${cfg.defaultUnit}";
      "ctrl-alt-del.target".link = "/usr/lib/systemd/system/${cfg.ctrlAltDelUnit}";
    };
  };
  userTree = utils.makeTree "user-units" { files = systemdLib.filesOf "user" userUnits; };
in
{
  options.systemd = kinds "" // {
    mounts = unitList "mount" [ { what = "/dev/vdb1"; where = "/srv"; } ] "Mounts; `fileSystems` is the usual way to have these.";
    automounts = unitList "automount" [ { where = "/srv"; } ] "Mounts that happen when a folder is used.";

    user = kinds " of each user's own systemd";

    package = mkOption {
      type = types.package;
      default = pkgs.debian.systemd;
      defaultText = literalExpression "pkgs.debian.systemd";
      example = literalExpression "pkgs.debian.systemd";
      description = "The package that has systemd.";
    };

    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.debian.fwupd ]";
      description = "Packages whose units are there to be used; which of them are started is said by `systemd.services.NAME.wantedBy` and the like.";
    };

    globalEnvironment = mkOption {
      type = types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]));
      default = { };
      example = { TZ = "UTC"; };
      description = "Variables of all services that are declared here.";
    };
    defaultUnit = mkOption {
      type = types.str;
      default = "multi-user.target";
      example = "graphical.target";
      description = "The unit that the system starts.";
    };

    ctrlAltDelUnit = mkOption {
      type = types.str;
      default = "reboot.target";
      example = "poweroff.target";
      description = "The unit that is started by Ctrl-Alt-Del on the console.";
    };

    settings.Manager = unitOptions.section { DefaultTimeoutStartSec = 60; } "Settings of systemd-system.conf(5).";

    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "DefaultLimitCORE=infinity";
      description = "Lines for the section `[Manager]` of /etc/systemd/system.conf.";
    };

    enableEmergencyMode = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the system offers a shell on the console where it cannot start, in place of going on as far as it can.";
    };

    suppressedSystemUnits = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "fstrim.timer" ];
      description = "Units of Debian's packages that cannot be started, in place of `enable = false` for each.";
    };
  };

  config = {
    systemd.timers = timersOf cfg.services;
    systemd.units = lib.genAttrs cfg.suppressedSystemUnits (_: { enable = false; });
    systemd.suppressedSystemUnits = [
      # What they would do is declared here.
      "systemd-sysusers.service" "systemd-firstboot.service" "systemd-machine-id-commit.service"
      # Since Debian 13: they would write files for the packages in /usr on the machine itself, over the ones that a configuration makes.
      "ldconfig.service" "systemd-hwdb-update.service" "systemd-journal-catalog-update.service" "systemd-update-done.service"
    ] ++ lib.optionals (!cfg.enableEmergencyMode) [ "emergency.service" "emergency.target" "rescue.service" "rescue.target" ];

    environment.systemPackages = [ cfg.package pkgs.debian.systemd-sysv ] ++ cfg.packages;
    environment.etc = {
      "systemd/system".source = tree;
      "systemd/user".source = userTree;
      "systemd/system.conf".text = systemdLib.section "Manager" cfg.settings.Manager
        + lib.optionalString (cfg.extraConfig != "") "${lib.optionalString (cfg.settings.Manager == { }) "[Manager]\n"}${cfg.extraConfig}\n";
    };

    system.build.units = tree;
    system.build.data.units = lib.mapAttrs (_: systemdLib.dataOf tree) units;

    assertions = lib.concatLists (lib.mapAttrsToList
      (name: service: optional (service.script != "" && service.serviceConfig ? ExecStart) {
        assertion = false;
        message = "`systemd.services.${name}` has a `script` and `serviceConfig.ExecStart`; it can have one of them";
      })
      cfg.services);
  };
}
