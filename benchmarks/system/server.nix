# The ninth step of an afternoon with a new server: a web server is added to what its image has.
{ modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];
  networking.firewall.allowedTCPPorts = [ 80 ];
  services.lighttpd = { enable = true; document-root = "/srv/www"; };
}
