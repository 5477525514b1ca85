/**
  PAM: what is asked of whoever logs in.

  Debian's services (login, sshd, sudo …) bring their own rules, and include four files of common ones, which its packages' scripts would
  have put together; these are made here.  A service that is named here has the common rules, or its own text.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.security.pam;

  lines = mkOption {
    type = types.lines;
    default = "";
    example = "auth required pam_faillock.so preauth";
    description = "Further lines, before Debian's own.";
  };

  limit = one: "${one.domain} ${one.type} ${one.item} ${toString one.value}\n";
  # Modules that a package brings are named by what they are called, and found in its folder by the farm.
  includeAll = ''
    @include common-auth
    @include common-account
    @include common-password
    @include common-session
  '';
in
{
  options.security.pam = {
    services = mkOption {
      type = types.attrsOf (types.submodule {
        options = {
          enable = mkOption { type = types.bool; default = true; example = false; description = "Whether the service has rules here."; };
          text = mkOption {
            type = types.nullOr types.lines;
            default = null;
            example = "auth required pam_permit.so";
            description = "The rules; null for the common ones, and for a service of Debian's for its own.";
          };
        };
      });
      default = { };
      example = { web = { }; };
      description = "Services that ask PAM, by name.";
    };
    loginLimits = mkOption {
      type = types.listOf (types.submodule {
        options = {
          domain = mkOption { type = types.str; example = "@users"; description = "A user, `@group`, or `*`."; };
          type = mkOption { type = types.enum [ "soft" "hard" "-" ]; default = "-"; example = "hard"; description = "Which of the two limits it is, or both."; };
          item = mkOption { type = types.str; example = "nofile"; description = "What is limited, see limits.conf(5)."; };
          value = mkOption { type = with types; either str int; example = 65536; description = "The limit."; };
        };
      });
      default = [ ];
      example = [ { domain = "*"; item = "nofile"; value = 65536; } ];
      description = "Limits of sessions.";
    };
    common = {
      auth = lines;
      account = lines;
      password = lines;
      session = lines;
    };
    makeHomeDir.umask = mkOption {
      type = types.str;
      default = "0077";
      example = "0022";
      description = "The umask of homes that are made at a login.";
    };
    makeHomeDir.enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether a login makes the user's home if it is not there.";
    };
  };

  config = {
    environment.systemPackages = [ pkgs.debian.libpam-modules pkgs.debian.libpam-runtime ];
    environment.etc = {
      "pam.d/common-auth".text = cfg.common.auth + ''
        auth [success=1 default=ignore] pam_unix.so nullok
        auth requisite pam_deny.so
        auth required pam_permit.so
      '';
      "pam.d/common-account".text = cfg.common.account + ''
        account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so
        account requisite pam_deny.so
        account required pam_permit.so
      '';
      "pam.d/common-password".text = cfg.common.password + ''
        password [success=1 default=ignore] pam_unix.so obscure yescrypt
        password requisite pam_deny.so
        password required pam_permit.so
      '';
      "pam.d/common-session".text = cfg.common.session + ''
        session [default=1] pam_permit.so
        session requisite pam_deny.so
        session required pam_permit.so
        session required pam_unix.so
        session optional pam_systemd.so
      '' + lib.optionalString cfg.makeHomeDir.enable "session required pam_mkhomedir.so umask=${cfg.makeHomeDir.umask}\n";
      "pam.d/common-session-noninteractive".text = cfg.common.session + ''
        session [default=1] pam_permit.so
        session requisite pam_deny.so
        session required pam_permit.so
        session required pam_unix.so
      '';
      # What Debian's rules read beside /etc/environment.
      "default/locale".text = "LANG=${config.i18n.defaultLocale}\n";
      "security/limits.d/00-nixos.conf".text = lib.concatMapStrings limit cfg.loginLimits;
    } // lib.mapAttrs'
      (name: service: { name = "pam.d/${name}"; value.text = if service.text == null then includeAll else service.text; })
      (lib.filterAttrs (_: service: service.enable) cfg.services);
  };
}
