/**
  Languages of messages, formats of numbers and times.

  `C.UTF-8` is part of every Debian system.  Others are compiled from the package `locales`, those that the system asks for and no more.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.i18n;

  isBuiltIn = name: lib.elem (lib.toLower (builtins.head (lib.splitString "/" name))) [ "c" "posix" "c.utf-8" "c.utf8" ];
  wanted = lib.unique (builtins.filter (name: !isBuiltIn name) cfg.supportedLocales);
  withCharset = name: if lib.hasInfix "/" name then name else "${name}/${charsetOf name}";
  charsetOf = name: let parts = builtins.match "[^.]*\\.([^@]*)(@.*)?" name; in if parts == null then "UTF-8" else builtins.head parts;

  archive = pkgs.runCommand "locale-archive" { locales = map withCharset wanted; nativeBuildInputs = [ pkgs.debian.locales ]; } ''
    mkdir -p root/usr/lib/locale
    for locale in $locales; do
      name=''${locale%%/*}
      localedef --no-warnings=ascii --prefix root -i "''${name%%.*}" -f "''${locale##*/}" "$name" || [ $? = 1 ]
    done
    cp root/usr/lib/locale/locale-archive $out
  '';
in
{
  options.i18n = {
    defaultLocale = mkOption {
      type = types.str;
      default = "C.UTF-8";
      example = "de_DE.UTF-8";
      description = "What programs speak if nobody says otherwise.";
    };
    extraLocaleSettings = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = { LC_TIME = "de_DE.UTF-8"; };
      description = "The same for single matters.";
    };
    supportedLocales = mkOption {
      type = types.listOf types.str;
      default = lib.unique ([ cfg.defaultLocale ] ++ builtins.attrValues cfg.extraLocaleSettings);
      defaultText = literalExpression "those that are used above";
      example = [ "en_GB.UTF-8/UTF-8" "de_DE.UTF-8/UTF-8" ];
      description = "Locales that are there to be chosen, with their character sets.";
    };
  };

  config = {
    environment.extraFarmLinks = lib.mkIf (wanted != [ ]) { "usr/lib/locale/locale-archive" = "${archive}"; };
    environment.sessionVariables = { LANG = lib.mkDefault cfg.defaultLocale; } // cfg.extraLocaleSettings;
    environment.etc."locale.conf".text = "LANG=${cfg.defaultLocale}\n"
      + lib.concatStrings (lib.mapAttrsToList (name: value: "${name}=${value}\n") cfg.extraLocaleSettings);
  };
}
