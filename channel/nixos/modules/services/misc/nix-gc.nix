/**
  Collecting garbage of the store at times, and storing files of the same content once.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.nix;

  dates = default: mkOption {
    type = with types;
    coercedTo str lib.singleton (listOf str);
    inherit default;
    example = [ "weekly" ];
    description = "When, as systemd.time(7) has it.";
  };
  timer = persistent: delay: { timerConfig = { Persistent = persistent; RandomizedDelaySec = delay; }; };
  service = description: command: startAt: {
    inherit description startAt;
    # A switch must not begin what takes minutes.
    restartIfChanged = false;
    environment.PATH = lib.mkForce "${lib.optionalString (cfg.package != null) "${cfg.package}/bin:"}/usr/local/bin:/usr/bin";
    serviceConfig = { Type = "oneshot"; IOSchedulingClass = "idle"; Nice = 19; };
    script = "exec ${command}";
  };
in
{
  options.nix = {
    gc = {
      automatic = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether what nothing needs any more is removed from the store at times.";
      };
      dates = dates [ "03:15" ];
      randomizedDelaySec = mkOption { type = types.str; default = "0"; example = "45min"; description = "How much later it may be, by chance."; };
      persistent = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether it is done later where the machine was off at the time.";
      };
      options = mkOption {
        type = types.singleLineStr;
        default = "";
        example = "--delete-older-than 30d";
        description = "Arguments of `nix-collect-garbage`.";
      };
    };
    optimise = {
      automatic = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether files of the same content are stored once, which is seen to at times.";
      };
      dates = dates [ "03:45" ];
    };
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.gc.automatic {
      systemd.services.nix-gc = service "Nix Garbage Collector" "nix-collect-garbage ${cfg.gc.options}" cfg.gc.dates;
      systemd.timers.nix-gc = timer cfg.gc.persistent cfg.gc.randomizedDelaySec;
    })
    (lib.mkIf cfg.optimise.automatic {
      systemd.services.nix-optimise = service "Nix Store Optimiser" "nix-store --optimise" cfg.optimise.dates;
      systemd.timers.nix-optimise = timer true "0";
    })
    {
      assertions = map
        (name: {
          assertion = cfg.${name}.automatic -> cfg.enable;
          message = "`nix.${name}.automatic` needs `nix.enable`";
        })
        [ "gc" "optimise" ];
    }
  ];
}
