/**
  The client of OpenSSH.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.programs.ssh;
  known = builtins.attrValues cfg.knownHosts;
  keyOf = one: if one.publicKey != null then one.publicKey else builtins.readFile one.publicKeyFile;
in
{
  options.programs.ssh = {
    extraConfig = mkOption { type = types.lines; default = ""; example = "Host web1\n  User root"; description = "Lines of ssh_config(5), before Debian's own."; };
    knownHosts = mkOption {
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          hostNames = mkOption {
            type = types.listOf types.str;
            default = [ name ];
            defaultText = lib.literalExpression "[ the attribute's name ]";
            example = [ "web1" "192.0.2.7" ];
            description = "What the host is called.";
          };
          publicKey = mkOption { type = with types; nullOr singleLineStr; default = null; example = "ssh-ed25519 AAAA"; description = "Its key."; };
          publicKeyFile = mkOption { type = with types; nullOr path; default = null; example = lib.literalExpression "./web1.pub"; description = "A file with its key."; };
          certAuthority = mkOption { type = types.bool; default = false; example = true; description = "Whether the key signs others' keys."; };
        };
      }));
      default = { };
      example = { web1.publicKey = "ssh-ed25519 AAAA"; };
      description = "Hosts whose keys are known to everybody.";
    };
    startAgent = mkOption { type = types.bool; default = false; example = true; description = "Whether each user has an agent that keeps keys."; };
  };

  config = {
    environment.systemPackages = [ pkgs.debian.openssh-client ];
    environment.etc = {
      "ssh/ssh_known_hosts" = lib.mkIf (known != [ ]) {
        text = lib.concatMapStrings
          (one: "${lib.optionalString one.certAuthority "@cert-authority "}${lib.concatStringsSep "," one.hostNames} ${lib.removeSuffix "\n" (keyOf one)}\n")
          known;
      };
      "ssh/ssh_config.d/00-nixos.conf" = lib.mkIf (cfg.extraConfig != "") { text = cfg.extraConfig; };
    };
    systemd.user.services.ssh-agent = lib.mkIf cfg.startAgent {
      description = "Agent of SSH keys";
      wantedBy = [ "default.target" ];
      serviceConfig.ExecStart = "/usr/bin/ssh-agent -D -a %t/ssh-agent";
    };
    environment.extraInit = lib.mkIf cfg.startAgent ''
      if [ -z "$SSH_AUTH_SOCK" ] && [ -n "$XDG_RUNTIME_DIR" ]; then export SSH_AUTH_SOCK="$XDG_RUNTIME_DIR/ssh-agent"; fi
    '';
    assertions = map
      (one: {
        assertion = (one.publicKey == null) != (one.publicKeyFile == null);
        message = "the known host `${builtins.head one.hostNames}` needs one of `publicKey` and `publicKeyFile`";
      })
      known;
  };
}
