/**
  The options of units, by kind.  Their names are NixOS's; what `unitConfig`, `serviceConfig` and the like may hold is systemd.unit(5),
  systemd.service(5) and so on.
*/
{ lib }:
let
  inherit (lib) literalExpression mkOption types;

  value = with types; nullOr (oneOf [ bool int float str path package ]);
  setting = (types.either value (types.listOf value)) // { description = "value of a unit's setting, or a list of such"; };

  section = example: description: mkOption { type = types.attrsOf (unique setting); default = { }; inherit example description; };
  # Lists are joined, as units may repeat a setting; other values must agree.
  unique = type: type // {
    merge = loc: defs:
      if builtins.all (def: builtins.isList def.value) defs then builtins.concatMap (def: def.value) defs
      else lib.options.mergeEqualOption loc defs;
  };

  names = example: description: mkOption { type = types.listOf types.str; default = [ ]; example = [ example ]; inherit description; };
  flag = default: description: mkOption { type = types.bool; inherit default description; example = !default; };
  text = example: description: mkOption { type = types.str; default = ""; inherit example description; };
  script = example: description: mkOption { type = types.lines; default = ""; inherit example description; };
in
rec {
  inherit setting section;

  /** Of every unit that is loaded from a file. */
  common = {
    enable = flag true "Whether the unit can be started; without, it is masked.";
    overrideStrategy = mkOption {
      type = types.enum [ "asDropinIfExists" "asDropin" ];
      default = "asDropinIfExists";
      example = "asDropin";
      description = ''
        Whether what is said here is the whole unit, or (`asDropin`) comes as `overrides.conf` on top of the unit that a package has.
        `asDropinIfExists` is the whole unit, and a drop-in for an instance of a template (`NAME@INSTANCE`).
      '';
    };
    wantedBy = names "multi-user.target" "Units that want this one: starting them starts it.";
    requiredBy = names "multi-user.target" "Units that require this one: they fail where it does.";
    upheldBy = names "multi-user.target" "Units that keep this one running while they are active.";
    aliases = names "web.service" "Further names of the unit.";
  };

  /** Of every unit, for its section `[Unit]`. */
  unit = common // {
    description = text "The web server" "What the unit is, in a few words.";
    documentation = names "man:lighttpd(8)" "Where the unit is documented, as URIs.";
    requires = names "postgresql.service" "Units that are started along; where one fails, so does this.";
    wants = names "network-online.target" "Units that are started along.";
    upholds = names "worker.service" "Units that are kept running while this one is active.";
    after = names "network.target" "Units that this one is started after, where both are.";
    before = names "multi-user.target" "Units that this one is started before, where both are.";
    bindsTo = names "dev-vdb.device" "As `requires`; and this unit stops when one of them does.";
    partOf = names "web.target" "Units whose stop and restart is this one's, too.";
    conflicts = names "other.service" "Units that this one's start stops.";
    requisite = names "database.service" "Units that must be active already.";
    onFailure = names "report@%n.service" "Units that are started when this one fails.";
    onSuccess = names "next.service" "Units that are started when this one ends well.";
    startLimitBurst = mkOption {
      type = types.nullOr types.int; default = null; example = 5;
      description = "How often the unit may be started within `startLimitIntervalSec`; null for systemd's own.";
    };
    startLimitIntervalSec = mkOption {
      type = types.nullOr types.int; default = null; example = 60;
      description = "Within how many seconds starts are counted; null for systemd's own.";
    };
    unitConfig = section { ConditionPathExists = "/srv/www"; } "Further settings of the section `[Unit]`.";
    restartTriggers = mkOption {
      type = types.listOf types.unspecified; default = [ ]; example = literalExpression "[ config.environment.etc.\"web.conf\".source ]";
      description = "Values whose change restarts the unit at a switch, beside its own text.";
    };
    reloadTriggers = mkOption {
      type = types.listOf types.unspecified; default = [ ]; example = literalExpression "[ config.environment.etc.\"web.conf\".source ]";
      description = "Values whose change reloads the unit at a switch.";
    };
  };

  /** What systemd.exec(5) gives to several kinds. */
  exec = {
    environment = mkOption {
      type = types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]));
      default = { };
      example = { LANG = "C.UTF-8"; };
      description = "Variables of the unit's processes; null takes one away that another module sets.";
    };
    path = mkOption {
      type = types.listOf (types.oneOf [ types.package types.str ]);
      default = [ ];
      example = literalExpression "[ pkgs.curl ]";
      description = "Packages whose `bin` and `sbin` the unit's PATH has.";
    };
  };

  service = unit // exec // {
    enableDefaultPath = flag true "Whether coreutils, findutils, grep, sed and systemd are in the unit's PATH.";
    serviceConfig = section { Type = "notify"; Restart = "on-failure"; } "Settings of the section `[Service]`.";
    script = script "exec web --foreground" "What the service runs, as a Bash script; the same as `ExecStart`.";
    scriptArgs = text "%i" "Arguments of `script`.";
    preStart = script "mkdir -p /srv/www" "A script that runs before the service is started.";
    postStart = script "wait-for-port 80" "A script that runs once it is started.";
    reload = script "kill -HUP $MAINPID" "A script that makes the service read its configuration again.";
    preStop = script "announce-end" "A script that stops the service.";
    postStop = script "rm -f /run/web/socket" "A script that runs once the service has stopped.";
    restartIfChanged = flag true "Whether a switch restarts the service if its unit has changed.";
    reloadIfChanged = flag false "Whether a switch reloads the service, in place of restarting it, if its unit has changed.";
    stopIfChanged = flag true "Whether a changed service is stopped with the old system and started with the new one, in place of being restarted with the new.";
    notSocketActivated = flag false "Whether a switch starts a changed service although a socket would do so.";
    startAt = mkOption {
      type = with types; coercedTo str lib.singleton (listOf str);
      default = [ ];
      example = "daily";
      description = "When the service is started, as systemd.time(7) has it; makes a timer.";
    };
  };

  socket = unit // {
    listenStreams = names "0.0.0.0:80" "Addresses to listen at: TCP ports, or paths of sockets.";
    listenDatagrams = names "0.0.0.0:53" "The same for datagrams.";
    socketConfig = section { Accept = true; } "Settings of the section `[Socket]`.";
  };
  timer = unit // { timerConfig = section { OnCalendar = "daily"; Persistent = true; } "Settings of the section `[Timer]`."; };
  path = unit // { pathConfig = section { PathChanged = "/srv/inbox"; } "Settings of the section `[Path]`."; };
  slice = unit // { sliceConfig = section { MemoryMax = "1G"; } "Settings of the section `[Slice]`."; };
  target = unit;

  mount = unit // {
    what = mkOption { type = types.str; example = "/dev/vdb1"; description = "What is mounted: a device, or what the file system's type takes."; };
    where = mkOption { type = types.str; example = "/srv"; description = "The folder it is mounted at."; };
    type = text "ext4" "The file system's type; empty to find out.";
    options = text "ro,noatime" "The mount's options.";
    mountConfig = section { TimeoutSec = 30; } "Further settings of the section `[Mount]`.";
  };
  automount = unit // {
    where = mkOption { type = types.str; example = "/srv"; description = "The folder whose use mounts it."; };
    automountConfig = section { TimeoutIdleSec = 600; } "Further settings of the section `[Automount]`.";
  };

  /** Of a unit that is given as a text. */
  raw = common // {
    text = mkOption {
      type = types.nullOr types.lines; default = null; example = "[Service]\nExecStart=/usr/bin/true\n"; description = "The unit, as a file's text.";
    };
  };
}
