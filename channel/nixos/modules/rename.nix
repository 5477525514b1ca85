/**
  Names that options had in NixOS before, and names of options that have no meaning here: configurations from elsewhere are understood, or told
  what to write instead.
*/
{ lib, ... }:
let
  inherit (lib) mkAliasOptionModule mkRemovedOptionModule mkRenamedOptionModule;
in
{
  imports = [
    (mkAliasOptionModule [ "users" "extraUsers" ] [ "users" "users" ])
    (mkAliasOptionModule [ "users" "extraGroups" ] [ "users" "groups" ])
    (mkAliasOptionModule [ "services" "sshd" "enable" ] [ "services" "openssh" "enable" ])

    (mkRenamedOptionModule [ "boot" "cleanTmpDir" ] [ "boot" "tmp" "cleanOnBoot" ])
    (mkRenamedOptionModule [ "boot" "tmpOnTmpfs" ] [ "boot" "tmp" "useTmpfs" ])
    (mkRenamedOptionModule [ "i18n" "consoleKeyMap" ] [ "console" "keyMap" ])
    (mkRenamedOptionModule [ "i18n" "consoleFont" ] [ "console" "font" ])
    (mkRenamedOptionModule [ "security" "initialRootPassword" ] [ "users" "users" "root" "initialHashedPassword" ])
    (mkRenamedOptionModule [ "services" "mingetty" "autologinUser" ] [ "services" "getty" "autologinUser" ])
    (mkRenamedOptionModule [ "services" "mingetty" "helpLine" ] [ "services" "getty" "helpLine" ])
    (mkRenamedOptionModule [ "system" "nixosLabel" ] [ "system" "nixos" "label" ])
    (mkRenamedOptionModule [ "programs" "bash" "enableCompletion" ] [ "programs" "bash" "completion" "enable" ])

    (mkRemovedOptionModule [ "boot" "loader" "grub" "version" ] "There is one version of GRUB.")
    (mkRemovedOptionModule [ "boot" "loader" "systemd-boot" "enable" ] "Machines are started by GRUB: `boot.loader.grub`.")
    (mkRemovedOptionModule [ "networking" "dhcpcd" "enable" ] "DHCP is systemd-networkd's: `networking.useDHCP`.")
    (mkRemovedOptionModule [ "networking" "wireless" "enable" ] "This is for servers, and has no wireless networks.")
    (mkRemovedOptionModule [ "networking" "networkmanager" "enable" ] "The network is set up by systemd-networkd: `networking.interfaces`, `systemd.network`.")
    (mkRemovedOptionModule [ "security" "setuidPrograms" ] "Debian's setuid programs are there by themselves, and others by `security.wrappers`.")
    (mkRemovedOptionModule [ "environment" "pathsToLink" ] "The system's packages are its /usr, with all that they have.")
  ];
}
