/**
  The server of OpenSSH.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.openssh;
  package = pkgs.debian.openssh-server;

  show = value: if value == true then "yes" else if value == false then "no" else if builtins.isList value then lib.concatStringsSep "," value else toString value;
  lines = settings: lib.concatStrings (lib.mapAttrsToList (name: value: lib.optionalString (value != null) "${name} ${show value}\n") settings);
  addressOf = one: if lib.hasInfix ":" one.addr && !lib.hasPrefix "[" one.addr then "[${one.addr}]" else one.addr;

  configuration = pkgs.writeText "sshd_config" (
    lib.concatMapStrings (port: "Port ${toString port}\n") cfg.ports
    + lib.concatMapStrings (one: "ListenAddress ${addressOf one}${lib.optionalString (one.port != null) ":${toString one.port}"}\n") cfg.listenAddresses
    + lib.concatMapStrings (key: "HostKey ${key.path}\n") cfg.hostKeys
    + "AuthorizedKeysFile ${toString cfg.authorizedKeysFiles}\n"
    + lib.optionalString cfg.allowSFTP "Subsystem sftp ${cfg.sftpServerExecutable} ${toString cfg.sftpFlags}\n"
    + lines cfg.settings
    + cfg.extraConfig);

  keysOf = user: user.openssh.authorizedKeys.keys ++ map builtins.readFile user.openssh.authorizedKeys.keyFiles;
  withKeys = builtins.filter (user: keysOf user != [ ]) (builtins.attrValues config.users.users);

  setting = type: default: example: description: mkOption { inherit type default example description; };
in
{
  imports = [
    (lib.mkRenamedOptionModule [ "services" "openssh" "permitRootLogin" ] [ "services" "openssh" "settings" "PermitRootLogin" ])
    (lib.mkRenamedOptionModule [ "services" "openssh" "passwordAuthentication" ] [ "services" "openssh" "settings" "PasswordAuthentication" ])
  ];

  options.services.openssh = {
    enable = lib.mkEnableOption "the server of OpenSSH, for logins over the network";
    openFirewall = mkOption { type = types.bool; default = true; example = false; description = "Whether its ports are open in the firewall."; };
    ports = mkOption { type = types.listOf types.port; default = [ 22 ]; example = [ 2222 ]; description = "The ports it listens at."; };
    listenAddresses = mkOption {
      type = types.listOf (types.submodule {
        options = {
          addr = mkOption { type = types.str; example = "192.0.2.7"; description = "The address."; };
          port = mkOption { type = types.nullOr types.port; default = null; example = 22; description = "The port; null for `ports`."; };
        };
      });
      default = [ ];
      example = [ { addr = "192.0.2.7"; port = 22; } ];
      description = "Addresses it listens at; none for all.";
    };
    startWhenNeeded = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether systemd listens, and starts a server for each connection.";
    };
    allowSFTP = mkOption { type = types.bool; default = true; example = false; description = "Whether files can be transferred by SFTP."; };
    sftpServerExecutable = mkOption {
      type = types.str;
      default = "internal-sftp";
      example = "/usr/lib/openssh/sftp-server";
      description = "The server for SFTP.";
    };
    sftpFlags = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "-f AUTHPRIV" "-l INFO" ];
      description = "Arguments of the server for SFTP.";
    };
    hostKeys = mkOption {
      type = types.listOf (types.submodule {
        options = {
          path = mkOption { type = types.str; example = "/etc/ssh/ssh_host_ed25519_key"; description = "The key's file."; };
          type = mkOption { type = types.str; example = "ed25519"; description = "Its kind."; };
          bits = mkOption { type = with types; nullOr int; default = null; example = 4096; description = "Its size; null for the usual one."; };
          comment = mkOption { type = types.str; default = ""; example = "web1"; description = "A remark in the key."; };
        };
      });
      default = [ { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; } ];
      example = [ { type = "rsa"; bits = 4096; path = "/etc/ssh/ssh_host_rsa_key"; } { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; } ];
      description = ''
        The server's own keys, which are made if they are not there.  One of RSA, which clients from before 2014 need, takes a small machine
        most of its first minute.
      '';
    };
    authorizedKeysFiles = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "%h/.ssh/more_keys" ];
      description = "Files with the keys that may log in; those in a user's home and those that are declared are among them.";
    };
    settings = mkOption {
      type = types.submodule {
        freeformType = with types; attrsOf (nullOr (oneOf [ bool int str path (listOf str) ]));
        options = {
          PermitRootLogin = setting (types.enum [ "yes" "without-password" "prohibit-password" "forced-commands-only" "no" ]) "prohibit-password" "no" "Whether root may log in.";
          PasswordAuthentication = setting types.bool true false "Whether a password is enough.";
          KbdInteractiveAuthentication = setting types.bool true false "Whether PAM may ask whatever it wants.";
          X11Forwarding = setting types.bool false true "Whether windows may be shown on the client's screen.";
          UsePAM = setting types.bool true false "Whether PAM is asked about logins.";
          PrintMotd = setting types.bool false true "Whether the server shows /etc/motd itself.";
          UseDNS = setting types.bool false true "Whether clients' names are looked up.";
          LogLevel = setting (types.enum [ "QUIET" "FATAL" "ERROR" "INFO" "VERBOSE" "DEBUG" "DEBUG1" "DEBUG2" "DEBUG3" ]) "INFO" "VERBOSE" "How much it says.";
        };
      };
      default = { };
      example = { PasswordAuthentication = false; };
      description = "Settings of sshd_config(5).";
    };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "Match User git\n  ForceCommand git-shell";
      description = "Further lines of sshd_config(5).";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ package pkgs.debian.openssh-client ];
    networking.firewall.allowedTCPPorts = lib.optionals cfg.openFirewall cfg.ports;
    services.openssh.authorizedKeysFiles = [ "%h/.ssh/authorized_keys" "/etc/ssh/authorized_keys.d/%u" ];

    users.users.sshd = { isSystemUser = true; group = "nogroup"; home = "/run/sshd"; description = "sshd privilege separation"; };
    users.groups._ssh = { };

    environment.etc = {
      "ssh/sshd_config".source = "${configuration}";
    } // lib.listToAttrs (map
      (user: {
        name = "ssh/authorized_keys.d/${user.name}";
        value = { text = lib.concatMapStrings (key: lib.removeSuffix "\n" key + "\n") (keysOf user); mode = "0444"; };
      })
      withKeys);

    # Debian's unit is `ssh`; its name here is NixOS's.
    systemd.services = {
      sshd-keygen = {
        description = "The ssh server's keys";
        before = [ "sshd.service" ];
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
        path = [ pkgs.debian.openssh-client ];
        script = lib.concatMapStrings
          (key:
            let file = lib.escapeShellArg key.path; in
            ''
              if [ ! -s ${file} ]; then
                mkdir -p -m 0755 "$(dirname ${file})"
                rm -f ${file}
                ssh-keygen -q -t ${key.type} ${lib.optionalString (key.bits != null) "-b ${toString key.bits}"} -C ${lib.escapeShellArg key.comment} -f ${file} -N ""
              fi
            '')
          cfg.hostKeys;
      };
    } // (if cfg.startWhenNeeded then {
      "sshd@" = {
        description = "The ssh server, for one connection";
        requires = [ "sshd-keygen.service" ];
        after = [ "network.target" "sshd-keygen.service" ];
        stopIfChanged = false;
        serviceConfig = {
          ExecStart = "-${package}/usr/sbin/sshd -i -D -f /etc/ssh/sshd_config";
          StandardInput = "socket";
          KillMode = "process";
          RuntimeDirectory = "sshd";
          RuntimeDirectoryMode = "0755";
          RuntimeDirectoryPreserve = true;
        };
      };
    } else {
      sshd = {
        description = "The ssh server";
        documentation = [ "man:sshd(8)" "man:sshd_config(5)" ];
        wantedBy = [ "multi-user.target" ];
        requires = [ "sshd-keygen.service" ];
        after = [ "network.target" "sshd-keygen.service" ];
        # Connections live on in processes of their own.
        stopIfChanged = false;
        restartTriggers = [ configuration ];
        serviceConfig = {
          Type = "notify";
          ExecStartPre = "${package}/usr/sbin/sshd -t -f /etc/ssh/sshd_config";
          ExecStart = "${package}/usr/sbin/sshd -D -f /etc/ssh/sshd_config";
          ExecReload = [ "${package}/usr/sbin/sshd -t -f /etc/ssh/sshd_config" "${pkgs.debian.procps}/bin/kill -HUP $MAINPID" ];
          KillMode = "process";
          Restart = "on-failure";
          RuntimeDirectory = "sshd";
          RuntimeDirectoryMode = "0755";
        };
      };
    });
    systemd.sockets = lib.mkIf cfg.startWhenNeeded {
      sshd = {
        description = "The ssh server's socket";
        wantedBy = [ "sockets.target" ];
        listenStreams =
          if cfg.listenAddresses == [ ] then map toString cfg.ports
          else map (one: "${addressOf one}:${toString (if one.port != null then one.port else builtins.head cfg.ports)}") cfg.listenAddresses;
        socketConfig.Accept = true;
      };
    };
  };
}
