# The server of the image, with a web server added and its port opened.
{ modulesPath, ... }:

{
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];

  networking.firewall.allowedTCPPorts = [ 80 ];

  services.lighttpd.enable = true;
  services.lighttpd.document-root = "/srv/www";
}
