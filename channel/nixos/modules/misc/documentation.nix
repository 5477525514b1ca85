/**
  Manuals: `man`, and configuration.nix(5), which has all options of this very system, those of its own modules too.
*/
{ config, lib, options, pkgs, utils, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.documentation;

  here = toString ../../..;
  # An option whose default fails without a configuration that it waits for is shown without.
  shown = text: let tried = builtins.tryEval (builtins.deepSeq text.text text.text); in if tried.success then tried.value else null;
  described = map
    (one: {
      inherit (one) name type description readOnly;
      default = if one ? default then shown one.default else null;
      example = if one ? example then shown one.example else null;
      declarations = map (place: if lib.hasPrefix here (toString place) then "<nixpkgs${lib.removePrefix here (toString place)}>" else toString place) one.declarations;
    })
    (builtins.filter (one: one.visible && !one.internal) (lib.optionAttrSetToDocList (removeAttrs options [ "_module" ])));

  manual = utils.runPython "configuration.nix-manual"
    {
      # The manual names store paths without needing them.
      options = builtins.unsafeDiscardStringContext (builtins.toJSON described);
      version = config.system.nixos.release;
      passAsFile = [ "options" ];
    }
    ./make-manual.py;
in
{
  options.documentation = {
    enable = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = lib.literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether manuals are there.";
    };
    man.enable = mkOption { type = types.bool; default = true; example = false; description = "Whether `man` is, for the packages' manuals."; };
    nixos.enable = mkOption { type = types.bool; default = true; example = false; description = "Whether `man configuration.nix` has all options."; };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = lib.optional cfg.man.enable pkgs.debian.man-db
      ++ lib.optional (cfg.man.enable && cfg.nixos.enable) (manual // { pname = "configuration.nix"; version = config.system.nixos.version; meta = { }; });
  };
}
