/**
  Certificates of authorities that programs trust: Debian's, and further ones.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.security.pki;

  own = pkgs.writeText "certificates.crt" (lib.concatMapStrings (text: "${text}\n") cfg.certificates);
  isPlain = cfg.certificates == [ ] && cfg.certificateFiles == [ ] && cfg.caCertificateBlacklist == [ ];
  bundle = utils.runPython "ca-certificates.crt"
    {
      folder = "${pkgs.debian.ca-certificates}/usr/share/ca-certificates/mozilla";
      files = map toString cfg.certificateFiles ++ [ "${own}" ];
      without = builtins.toJSON cfg.caCertificateBlacklist;
    }
    ./make-bundle.py;
in
{
  options.security.pki = {
    certificates = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----" ];
      description = "Further certificates to trust, as PEM.";
    };
    certificateFiles = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = literalExpression "[ ./company.crt ]";
      description = "Files of further certificates to trust.";
    };
    caCertificateBlacklist = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "GlobalSign_Root_CA" ];
      description = "Certificates of Debian's not to trust, by the names of their files without the suffix.";
    };
  };

  config = {
    environment.systemPackages = [ pkgs.debian.ca-certificates ];
    environment.etc = lib.mkIf (!isPlain) { "ssl/certs/ca-certificates.crt".source = "${bundle}"; };
  };
}
