/**
  The toplevel: a whole system as one store path, with its data (`system.json`) and the programs that apply them.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.system;

  # Sets are joined to any depth; of other values there can be one.
  data = types.mkOptionType {
    name = "data";
    description = "data of JSON";
    merge = loc: defs:
      if builtins.length defs == 1 then (builtins.head defs).value
      else if builtins.all (def: builtins.isAttrs def.value) defs then lib.foldl' (all: def: lib.recursiveUpdate all def.value) { } defs
      else lib.options.mergeOneOption loc defs;
  };

  python = "${utils.python}/usr";
  # Without what running it leaves there.
  target = builtins.path {
    name = "target";
    path = ../../..;
    filter = path: _: let here = toString ../../..; in path == here + "/target" || (dirOf path == here + "/target" && builtins.match ".*\\.py" path != null);
  };
  program = name: {
    executable = true;
    text = ''
      #!${pkgs.debian.bash}/bin/bash
      PYTHONHOME=${python} PYTHONPATH=${target} exec ${python}/bin/python3 -S -B -P -m target ${name} @out@ "$@"
    '';
  };

  hasKernel = !config.boot.isContainer;
  toplevel = utils.makeTree "nixos-system-${if config.networking.hostName == "" then "unnamed" else config.networking.hostName}-${cfg.nixos.label}" {
    files = {
      init = program "init";
      activate = program "activate";
      "bin/switch-to-configuration" = program "switch-to-configuration";
      sw.link = "${cfg.path}";
      etc.link = "${cfg.build.etc}";
      system.text = pkgs.system;
      nixos-version.text = cfg.nixos.label;
      "system.json".text = builtins.toJSON cfg.build.data;
    } // lib.optionalAttrs hasKernel {
      kernel.link = cfg.build.kernel;
      kernel-modules.link = "${cfg.build.modules}";
      kernel-params.text = toString config.boot.kernelParams;
    } // lib.optionalAttrs (hasKernel && config.boot.initrd.enable) {
      initrd.link = cfg.build.initialRamdisk;
    };
  };

  failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  checked =
    if failed != [ ] then throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (message: "- ${message}") failed}"
    else lib.showWarnings config.warnings toplevel;
in
{
  options.system.build = mkOption {
    default = { };
    example = { image = "a derivation"; };
    description = "Derivations that the system is made of, and others that modules make of it (images).";
    type = types.submodule {
      freeformType = types.lazyAttrsOf (types.uniq types.unspecified);
      options.data = mkOption {
        type = types.lazyAttrsOf data;
        default = { };
        example = { format = 1; };
        internal = true;
        description = "What `system.json` holds.";
      };
    };
  };

  config.system.build = {
    toplevel = checked;
    inherit target;
    data = {
      format = 1;
      inherit (pkgs) system;
      inherit (config.networking) hostName;
      inherit (cfg.nixos) label;
      inherit (cfg) stateVersion;
      containers = { };
      paths = {
        sw = "${cfg.path}";
        etc = "${cfg.build.etc}";
        python = "${utils.python}";
        kernel = if hasKernel then cfg.build.kernel else null;
        initrd = if hasKernel && config.boot.initrd.enable then cfg.build.initialRamdisk else null;
        modules = if hasKernel then "${cfg.build.modules}" else null;
      };
    };
  };
}
