{ modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];
}
