/**
  `apt`, `dpkg` and their kin, typed on a machine whose packages are declared: each answers by how that is done here.

  They are at /usr/local/bin.  Where a package that has such a command is declared, the command is that package's.
*/
{ config, lib, pkgs, ... }:
let
  commands = [
    "apt" "apt-get" "apt-cache" "apt-mark" "aptitude" "add-apt-repository" "dpkg" "dpkg-reconfigure" "update-alternatives" "update-rc.d"
    "update-grub"
  ];

  explain = pkgs.writeScript "explain" ''
    #!${pkgs.bash}/bin/bash
    command=''${0##*/} verb= names=()
    for real in /usr/bin/$command /usr/sbin/$command; do
      if [ -x $real ]; then exec $real "$@"; fi
    done
    for word; do
      case $word in -i|-r|-P|-l|-S|-L) verb=$word ;; -*) ;; *) if [ -z "$verb" ]; then verb=$word; else names+=("$word"); fi ;; esac
    done
    list="''${names[*]/#/pkgs.}"
    file=/etc/nixos/configuration.nix
    {
      echo "$command: the packages of this machine are declared in $file, and \`$command\` does not change them"
      case $command:$verb in
        apt*:install | apt*:reinstall | dpkg:-i)
          case "''${names[*]}" in */*.deb) list=pkgs.NAME ;; esac
          echo "  write:    environment.systemPackages = [ ''${list:-pkgs.NAME} ];"
          echo "  and run:  nixos-rebuild switch"
          echo "  to try:   nix-shell -p ''${names[*]:-NAME}" ;;
        apt*:remove | apt*:purge | apt*:autoremove | dpkg:-r | dpkg:-P)
          echo "  take ''${list:-pkgs.NAME} out of environment.systemPackages, and run: nixos-rebuild switch" ;;
        apt*:update | apt*:upgrade | apt*:dist-upgrade | apt*:full-upgrade | apt*:safe-upgrade)
          echo "  the newest of all packages, at once, and with a way back:  nixos-rebuild switch --upgrade" ;;
        apt*:search | apt*:show | apt*:policy)
          echo "  packages there are:  nivalis search ''${names[*]:-WORD}" ;;
        dpkg:-l | apt*:list)
          echo "  packages that this machine has:  nix-store -qR /run/current-system" ;;
        dpkg:-S)
          echo "  where a file comes from:  readlink -f ''${names[*]:-FILE}" ;;
        update-grub:*)
          echo "  the boot menu is written by:  nixos-rebuild boot" ;;
        update-rc.d:*)
          echo "  services are declared by systemd.services.NAME and services.NAME.enable" ;;
        *)
          echo "  packages are declared by environment.systemPackages, and settings by options: nivalis options WORD" ;;
      esac
    } >&2
    exit 1
  '';
  package = pkgs.linkFarm "debian-commands" (map (name: { name = "bin/${name}"; path = explain; }) commands);
in
{
  options.environment.explainDebianCommands = lib.mkOption {
    type = lib.types.bool;
    default = true;
    example = false;
    description = "Whether `apt`, `dpkg` and other commands that would change packages answer by how packages come to this machine.";
  };

  config.environment.systemPackages = lib.mkIf config.environment.explainDebianCommands [ package ];
}
