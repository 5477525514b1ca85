/**
  What a cloud tells its servers: at the first start, root's keys of ssh, the host's name and the user's data are asked of the metadata service.

  The service speaks as EC2's does (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html).
*/
{ config, lib, pkgs, utils, ... }:
let
  cfg = config.services.instanceMetadata;
in
{
  options.services.instanceMetadata = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = ''
        Whether keys, name and data come from the cloud's metadata service.  All keys that it offers may log in as root.  The name is taken where
        `networking.hostName` is empty; data are kept in /etc/ec2-metadata.
      '';
    };
    address = lib.mkOption {
      type = lib.types.str;
      default = "http://169.254.169.254";
      example = "http://[fd00:ec2::254]";
      description = "Where the service is.";
    };
    patience = lib.mkOption {
      type = lib.types.ints.positive;
      default = 300;
      example = 60;
      description = "For how many seconds it is asked until it answers.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.services.instance-metadata = {
      description = "Keys, name and data from the cloud";
      wantedBy = [ "multi-user.target" ];
      after = [ "systemd-networkd.service" ];
      restartIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        Environment = "PYTHONHOME=${utils.python}/usr";
        ExecStart = "${utils.python}/usr/bin/python3 -S -B -P ${./instance-metadata.py} ${
          utils.escapeSystemdExecArgs [ cfg.address cfg.patience (if config.networking.hostName == "" then "name" else "") ]}";
      };
    };
  };
}
