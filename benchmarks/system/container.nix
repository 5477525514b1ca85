# A machine that can change itself, as a container.  Two of these, with other folders, differ in one service.
{
  boot.isContainer = true;
  networking.hostName = "web1";
  networking.firewall.allowedTCPPorts = [ 80 ];
  services.openssh.enable = true;
  services.lighttpd = { enable = true; document-root = "/srv/@folder@"; };
  nix.enable = true;
  programs.nivalis.enable = true;
}
