/**
  The web server lighttpd.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) concatStringsSep literalExpression mkOption optional optionalString types;
  cfg = config.services.lighttpd;

  # In the order in which they have to be loaded, where they are.
  modules = [
    "mod_rewrite" "mod_redirect" "mod_alias" "mod_access" "mod_auth" "mod_status" "mod_simple_vhost" "mod_evhost" "mod_userdir"
    "mod_secdownload" "mod_fastcgi" "mod_proxy" "mod_cgi" "mod_ssi" "mod_deflate" "mod_expire" "mod_rrdtool" "mod_accesslog"
    "mod_ajp13" "mod_authn_dbi" "mod_authn_file" "mod_authn_gssapi" "mod_authn_ldap" "mod_authn_pam" "mod_authn_sasl" "mod_dirlisting"
    "mod_extforward" "mod_gnutls" "mod_h2" "mod_indexfile" "mod_magnet" "mod_maxminddb" "mod_mbedtls" "mod_nss" "mod_openssl" "mod_scgi"
    "mod_setenv" "mod_sockproxy" "mod_staticfile" "mod_vhostdb" "mod_vhostdb_dbi" "mod_vhostdb_ldap" "mod_vhostdb_mysql"
    "mod_vhostdb_pgsql" "mod_webdav" "mod_wolfssl" "mod_wstunnel"
  ];
  # Those that Debian has in packages of their own.
  packageOf = {
    mod_authn_dbi = pkgs.debian.lighttpd-modules-dbi;
    mod_authn_gssapi = pkgs.debian.lighttpd-mod-authn-gssapi;
    mod_authn_ldap = pkgs.debian.lighttpd-modules-ldap;
    mod_authn_pam = pkgs.debian.lighttpd-mod-authn-pam;
    mod_authn_sasl = pkgs.debian.lighttpd-mod-authn-sasl;
    mod_deflate = pkgs.debian.lighttpd-mod-deflate;
    mod_gnutls = pkgs.debian.lighttpd-mod-gnutls;
    mod_magnet = pkgs.debian.lighttpd-modules-lua;
    mod_maxminddb = pkgs.debian.lighttpd-mod-maxminddb;
    mod_mbedtls = pkgs.debian.lighttpd-mod-mbedtls;
    mod_nss = pkgs.debian.lighttpd-mod-nss;
    mod_openssl = pkgs.debian.lighttpd-mod-openssl;
    mod_vhostdb_dbi = pkgs.debian.lighttpd-modules-dbi;
    mod_vhostdb_ldap = pkgs.debian.lighttpd-modules-ldap;
    mod_vhostdb_mysql = pkgs.debian.lighttpd-modules-mysql;
    mod_vhostdb_pgsql = pkgs.debian.lighttpd-mod-vhostdb-pgsql;
    mod_webdav = pkgs.debian.lighttpd-mod-webdav;
    mod_wolfssl = pkgs.debian.lighttpd-mod-wolfssl;
  };

  isEnabled = name: lib.elem name cfg.enableModules;
  loaded = builtins.filter isEnabled modules;
  packages = lib.unique (lib.concatMap (name: lib.optional (packageOf ? ${name}) packageOf.${name}) loaded);
  unknown = lib.subtractLists modules cfg.enableModules;

  generated = ''
    server.document-root = "${cfg.document-root}"
    server.port = ${toString cfg.port}
    server.username = "lighttpd"
    server.groupname = "lighttpd"
    server.modules = ( ${concatStringsSep ", " (map (name: ''"${name}"'') loaded)} )
    server.errorlog-use-syslog = "enable"
    accesslog.use-syslog = "enable"
    index-file.names = ( "index.html" )
    static-file.exclude-extensions = ( ".fcgi", ".php", ".rb", "~", ".inc" )
    mimetype.assign = ( ${concatStringsSep ", " (lib.mapAttrsToList (suffix: type: ''"${suffix}" => "${type}"'') types')} )
  ''
  + optionalString config.networking.enableIPv6 ''
    $SERVER["socket"] == "[::]:${toString cfg.port}" { }
  ''
  + optionalString (isEnabled "mod_userdir") ''
    userdir.path = "public_html"
  ''
  + optionalString (isEnabled "mod_status") ''
    status.status-url = "/server-status"
    status.statistics-url = "/server-statistics"
    status.config-url = "/server-config"
  ''
  + cfg.extraConfig + "\n";
  # The longer suffix counts, and the empty one is for all others.
  types' = {
    ".html" = "text/html";
    ".htm" = "text/html";
    ".txt" = "text/plain; charset=utf-8";
    ".css" = "text/css";
    ".js" = "text/javascript";
    ".json" = "application/json";
    ".xml" = "application/xml";
    ".pdf" = "application/pdf";
    ".jpg" = "image/jpeg";
    ".jpeg" = "image/jpeg";
    ".png" = "image/png";
    ".gif" = "image/gif";
    ".svg" = "image/svg+xml";
    ".webp" = "image/webp";
    ".ico" = "image/x-icon";
    ".woff2" = "font/woff2";
    ".gz" = "application/gzip";
    "" = "application/octet-stream";
  };
  configuration = pkgs.writeText "lighttpd.conf" (if cfg.configText != "" then cfg.configText + "\n" else generated);
in
{
  options.services.lighttpd = {
    enable = lib.mkEnableOption "the web server lighttpd";
    package = mkOption {
      type = types.package;
      default = pkgs.debian.lighttpd;
      defaultText = literalExpression "pkgs.debian.lighttpd";
      example = literalExpression "pkgs.debian.lighttpd";
      description = "The package that has the server.";
    };
    port = mkOption {
      type = types.port;
      default = 80;
      example = 8080;
      description = "The port it listens at; opening it in the firewall is for `networking.firewall`.";
    };
    document-root = mkOption {
      type = types.path;
      default = "/srv/www";
      example = "/srv/site";
      description = "The folder that is served; the user `lighttpd` must be able to read it.";
    };
    mod_userdir = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether `/~USER/` shows the folder `public_html` in that user's home.";
    };
    mod_status = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether `/server-status`, `/server-statistics` and `/server-config` tell how the server is doing.";
    };
    enableModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "mod_cgi" "mod_deflate" ];
      description = "Modules that are loaded, of whichever package of Debian's they are.";
    };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "server.max-connections = 512";
      description = "What the generated configuration ends with.";
    };
    configText = mkOption {
      type = types.lines;
      default = "";
      example = "server.document-root = \"/srv/www\"\nserver.port = 80";
      description = "The whole configuration, in place of the generated one.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.lighttpd.enableModules = [ "mod_accesslog" ] ++ optional cfg.mod_status "mod_status" ++ optional cfg.mod_userdir "mod_userdir";

    environment.systemPackages = [ cfg.package ] ++ packages;
    users.users.lighttpd = { isSystemUser = true; group = "lighttpd"; description = "lighttpd web server privilege separation user"; };
    users.groups.lighttpd = { };

    systemd.services.lighttpd = {
      description = "Lighttpd Web Server";
      documentation = [ "man:lighttpd(8)" ];
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      # It loads its modules from /usr/lib/lighttpd.
      restartTriggers = packages;
      serviceConfig = {
        ExecStartPre = "${cfg.package}/sbin/lighttpd -tt -f ${configuration}";
        ExecStart = "${cfg.package}/sbin/lighttpd -D -f ${configuration}";
        # Requests that are being answered are finished.
        KillSignal = "SIGINT";
        Restart = "on-failure";
      };
    };

    assertions = [ {
      assertion = unknown == [ ];
      message = "`services.lighttpd.enableModules` has modules that lighttpd has not: ${concatStringsSep ", " unknown}";
    } ];
  };
}
