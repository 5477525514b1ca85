/**
  Units as text, and as data for a switch.

  A unit becomes `{ text; isDropin; identity; … }`; `unitsOf` gathers those of one manager, and `filesOf` is the tree of files that the manager
  reads.  A unit's identity is a hash over its text and its triggers: the text has the store paths of what the unit runs, and these
  change whenever any library of theirs does.
*/
{ lib, pkgs, escapeSystemdPath }:
let
  inherit (builtins) concatMap concatStringsSep filter hashString isList listToAttrs map mapAttrs toJSON;
  inherit (lib) concatStrings mapAttrsToList optionalAttrs optionalString;

  showValue = x: if x == true then "true" else if x == false then "false" else toString x;
  line = name: value: if value == null then "" else "${name}=${showValue value}\n";
  # `Name=value` for each setting, in order of their names.
  settings = attrs: concatStrings (mapAttrsToList (name: value: if isList value then lib.concatMapStrings (line name) value else line name value) attrs);
  section = title: attrs: let body = settings attrs; in optionalString (body != "") "[${title}]\n${body}";

  words = name: list: optionalAttrs (list != [ ]) { ${name} = concatStringsSep " " list; };
  unitSection = u: section "Unit" (
    optionalAttrs (u.description != "") { Description = u.description; }
    // words "Documentation" u.documentation
    // words "Requires" u.requires
    // words "Wants" u.wants
    // words "Upholds" u.upholds
    // words "After" u.after
    // words "Before" u.before
    // words "BindsTo" u.bindsTo
    // words "PartOf" u.partOf
    // words "Conflicts" u.conflicts
    // words "Requisite" u.requisite
    // words "OnFailure" u.onFailure
    // words "OnSuccess" u.onSuccess
    // optionalAttrs (u.startLimitBurst != null) { StartLimitBurst = u.startLimitBurst; }
    // optionalAttrs (u.startLimitIntervalSec != null) { StartLimitIntervalSec = u.startLimitIntervalSec; }
    // u.unitConfig);

  # Quoted as systemd.syntax(7) has it; `%` would be a specifier.
  environmentLines = environment:
    let quote = name: value: builtins.replaceStrings [ "%" ] [ "%%" ] (toJSON "${name}=${toString value}"); in
    concatStrings (mapAttrsToList (name: value: optionalString (value != null) "Environment=${quote name value}\n") environment);

  scriptOf = name: purpose: text: "${pkgs.writeShellScript "unit-script-${lib.strings.sanitizeDerivationName name}-${purpose}" "set -e\n${text}"}";

  searchPath = packages: let list = lib.unique packages; in "${lib.makeBinPath list}:${lib.makeSearchPath "sbin" list}";

  serviceText = name: u: defaults:
    let
      path = u.path ++ lib.optionals u.enableDefaultPath defaults.path;
      isDropin = isDropinUnit name u;
      # A drop-in says only what it changes.
      environment =
        (if isDropin then { } else defaults.environment)
        // optionalAttrs (u.path != [ ] || (!isDropin && path != [ ])) { PATH = searchPath path; }
        // u.environment;
      hook = setting: purpose: text: optionalAttrs (text != "") { ${setting} = lib.toList (u.serviceConfig.${setting} or [ ]) ++ [ (scriptOf name purpose text) ]; };
      config = u.serviceConfig
        // optionalAttrs (u.script != "") { ExecStart = scriptOf name "start" u.script + optionalString (u.scriptArgs != "") " ${u.scriptArgs}"; }
        // hook "ExecStartPre" "pre-start" u.preStart
        // hook "ExecStartPost" "post-start" u.postStart
        // hook "ExecReload" "reload" u.reload
        // hook "ExecStop" "pre-stop" u.preStop
        // hook "ExecStopPost" "post-stop" u.postStop;
      body = environmentLines environment + settings config;
    in
    optionalString (body != "") "[Service]\n${body}";

  isTemplateInstance = name: builtins.match "[^@]+@[^.]+\\..*" name != null;
  isDropinUnit = name: u: u.overrideStrategy == "asDropin" || isTemplateInstance name;

  # What all kinds have in common.
  make = { onChange ? "restart", stopIfChanged ? true, notSocketActivated ? false }: u: name: text: {
    inherit name text onChange stopIfChanged notSocketActivated;
    inherit (u) enable wantedBy requiredBy upheldBy aliases;
    description = u.description or "";
    isDropin = isDropinUnit name u;
    identity = hashString "sha256" (toJSON [ text (map toString (u.restartTriggers or [ ])) u.enable ]);
    reloadTriggers = if u.reloadTriggers or [ ] == [ ] then null else hashString "sha256" (toJSON (map toString u.reloadTriggers));
  };
in
rec {
  inherit section settings;

  /** { title = settings } -> string: a file of sections, such as systemd-networkd's. */
  toSections = sections: concatStringsSep "\n" (filter (text: text != "") (mapAttrsToList section sections));

  /** defaults of services -> units by kind -> { "NAME.KIND" = unit; } */
  unitsOf = defaults: kinds:
    let
      named = suffix: f: units: listToAttrs (mapAttrsToList (name: u: let full = "${name}.${suffix}"; in { name = full; value = f full u; }) units);
      plain = title: attr: options: name: u: make options u name (unitSection u + section title u.${attr});
      serviceUnit = name: u: make
        {
          onChange = if u.reloadIfChanged then "reload" else if u.restartIfChanged then "restart" else "ignore";
          inherit (u) stopIfChanged notSocketActivated;
        }
        u name (unitSection u + serviceText (lib.removeSuffix ".service" name) u defaults);
      socketUnit = name: u: make { } u name (unitSection u + section "Socket" (
        optionalAttrs (u.listenStreams != [ ]) { ListenStream = u.listenStreams; }
        // optionalAttrs (u.listenDatagrams != [ ]) { ListenDatagram = u.listenDatagrams; }
        // u.socketConfig));
      mountUnit = u: rec {
        name = "${escapeSystemdPath u.where}.mount";
        value = make { onChange = "reload"; } u name (unitSection u + section "Mount" (
          { What = u.what; Where = u.where; }
          // optionalAttrs (u.type != "") { Type = u.type; }
          // optionalAttrs (u.options != "") { Options = u.options; }
          // u.mountConfig));
      };
      automountUnit = u: rec {
        name = "${escapeSystemdPath u.where}.automount";
        value = make { onChange = "ignore"; } u name (unitSection u + section "Automount" ({ Where = u.where; } // u.automountConfig));
      };
      # What a switch does with a unit of which only the text is known.
      changes = { mount = "reload"; automount = "ignore"; slice = "ignore"; target = "ignore"; };
      rawUnit = name: u: make { onChange = changes.${lib.last (lib.splitString "." name)} or "restart"; } u name (if u.text == null then "" else u.text);
    in
    mapAttrs rawUnit kinds.units
    // named "service" serviceUnit kinds.services
    // named "socket" socketUnit kinds.sockets
    // named "timer" (plain "Timer" "timerConfig" { }) kinds.timers
    // named "path" (plain "Path" "pathConfig" { }) kinds.paths
    // named "slice" (plain "Slice" "sliceConfig" { onChange = "ignore"; }) kinds.slices
    // named "target" (name: u: make { onChange = "ignore"; } u name (unitSection u)) kinds.targets
    // listToAttrs (map mountUnit kinds.mounts)
    // listToAttrs (map automountUnit kinds.automounts);

  /** string -> string: where in the tree of files a unit's own file is. */
  fileOf = unit: if unit.isDropin then "${unit.name}.d/overrides.conf" else unit.name;

  /** manager ("system" or "user") -> units -> { path = entry; }: the tree that the manager reads, for `makeTree`. */
  filesOf = manager: units:
    let
      place = unit: if unit.isDropin then "/usr/lib/systemd/${manager}/${templateOf unit.name}" else "../${unit.name}";
      templateOf = name: let parts = builtins.match "([^@]+@)[^.]+(\\..*)" name; in if parts == null then name else concatStrings parts;
      links = unit:
        concatMap
          ({ folder, list }: map (other: { name = "${other}.${folder}/${unit.name}"; value.link = place unit; }) list)
          [ { folder = "wants"; list = unit.wantedBy; } { folder = "requires"; list = unit.requiredBy; } { folder = "upholds"; list = unit.upheldBy; } ]
        ++ map (alias: { name = alias; value.link = if unit.isDropin then place unit else unit.name; }) unit.aliases;
      files = unit:
        if !unit.enable then [ { inherit (unit) name; value.link = "/dev/null"; } ]
        else [ { name = fileOf unit; value = { inherit (unit) text; }; } ] ++ links unit;
    in
    listToAttrs (concatMap files (builtins.attrValues units));

  /** tree -> unit -> data: what system.json says of a unit. */
  dataOf = tree: unit: {
    file = if unit.enable then "${tree}/${fileOf unit}" else null;
    inherit (unit) identity aliases onChange stopIfChanged notSocketActivated reloadTriggers description wantedBy requiredBy;
    enabled = unit.enable && unit.wantedBy ++ unit.requiredBy ++ unit.upheldBy != [ ];
    restartIfChanged = unit.onChange == "restart";
  };
}
