/**
  What must hold, and what is worth a warning; both are looked at when a system is built.
*/
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      internal = true;
      default = [ ];
      example = [ { assertion = false; message = "you cannot have both"; } ];
      description = "What must hold of a configuration for it to be a system, each with the message that is shown where it does not.";
    };

    warnings = mkOption {
      type = types.listOf types.str;
      internal = true;
      default = [ ];
      example = [ "the option `services.old` is of no use any more" ];
      description = "What is said whenever the system is built.";
    };
  };
}
