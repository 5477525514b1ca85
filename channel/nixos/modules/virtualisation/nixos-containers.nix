/**
  Containers: systems of their own in this one, by systemd-nspawn.

  Each is evaluated from its own configuration to a toplevel, and is the unit `container@NAME.service`.  It sees this machine's store, and has the
  rest of its files in /var/lib/nixos-containers/NAME.  A switch of this machine switches a running container to its new toplevel, from
  inside and with its services running; only what a running container cannot take on (its network, its mounts) starts it again.

  A container with a network of its own has one link to this machine, `ve-NAME` here and `eth0` there, which systemd-networkd sets up on both sides.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption optional optionalAttrs optionals types;
  host = config;
  all = config.containers;

  address = example: side: mkOption { type = types.nullOr types.str; default = null; inherit example; description = "The link's address ${side}."; };
  flag = description: mkOption { type = types.bool; default = false; example = true; inherit description; };

  # An option that takes modules, and has what they make.
  system = name: mkOption {
    type = types.mkOptionType {
      name = "system";
      description = "configuration of a system";
      merge = loc: defs: (import ../../lib/eval-config.nix {
        inherit lib pkgs;
        prefix = loc;
        inherit (all.${name}) specialArgs;
        modules = [ (fromOutside name) ] ++ map (def: { _file = def.file; imports = [ def.value ]; }) defs;
      }).config;
    };
    default = { };
    example = literalExpression "{ pkgs, ... }: { services.nginx.enable = true; }";
    description = "The container's system: a module, as this machine's is.";
  };
  # What a container's system has to be, given how it is connected.
  fromOutside = name:
    let
      one = all.${name};
      side = version: own: gateway: {
        addresses = addresses version own;
        routes = map (address: address // { prefixLength = if version == 4 then 32 else 128; }) (addresses version gateway);
      };
      gateway = version: text: lib.mkIf (text != null) (lib.mkDefault { address = bare text; interface = "eth0"; });
    in
    {
      _file = "containers.${name}";
      boot.isContainer = true;
      networking = {
        hostName = lib.mkDefault name;
        useDHCP = lib.mkDefault false;
        interfaces = lib.mkIf (one.localAddress != null || one.localAddress6 != null) {
          eth0 = { ipv4 = side 4 one.localAddress one.hostAddress; ipv6 = side 6 one.localAddress6 one.hostAddress6; };
        };
        defaultGateway = gateway 4 one.hostAddress;
        defaultGateway6 = gateway 6 one.hostAddress6;
      };
      # It has a copy of this machine's list of servers, and where it shares the network, nothing to set up.
      services.resolved.enable = lib.mkDefault false;
      systemd.network.enable = lib.mkDefault one.privateNetwork;
      system.stateVersion = lib.mkDefault host.system.stateVersion;
    };
  # An address as text, with the length of its prefix or without; null for none.
  addresses = version: text:
    let parts = lib.splitString "/" text; in
    optional (text != null) {
      address = builtins.head parts;
      prefixLength = if builtins.length parts == 2 then lib.toInt (lib.last parts) else if version == 4 then 32 else 128;
    };
  bare = text: builtins.head (lib.splitString "/" text);
  show = address: "${address.address}/${toString address.prefixLength}";

  bind = mount: "--bind${lib.optionalString mount.isReadOnly "-ro"}=${if mount.hostPath != null then mount.hostPath else mount.mountPoint}:${mount.mountPoint}";
  # What a running container cannot change.
  flagsOf = name: one:
    optionals one.privateNetwork [ "--private-network" "--network-veth-extra=ve-${name}:eth0" ]
    ++ map (interface: "--network-interface=${interface}") one.interfaces
    ++ map (interface: "--network-macvlan=${interface}") one.macvlans
    ++ map bind (builtins.attrValues one.bindMounts)
    ++ map (path: "--tmpfs=${path}") one.tmpfs
    ++ optional (one.additionalCapabilities != [ ]) "--capability=${lib.concatStringsSep "," one.additionalCapabilities}"
    ++ one.extraFlags;

  folder = "/var/lib/nixos-containers";
  # The system that a container runs is no garbage, whether or not this machine's system still names it.
  roots = "/nix/var/nix/gcroots/per-container";
  run = pkgs.writeShellScript "container-run" ''
    set -e
    . "/etc/nixos-containers/$1.conf"
    root=${folder}/$1
    PATH=${lib.makeBinPath [ pkgs.debian.coreutils ]}
    if [ "$ephemeral" = 1 ]; then rm -rf --one-file-system "$root"; fi
    # Later on nothing is done by way of its links: what is in there may be anything.
    if [ ! -e "$root" ]; then mkdir -p -m 0755 "$root"/{nix/store,nix/var,etc,usr,var}; fi
    # The servers that this machine asks for names, and not its own cache, which is on another network.
    names=replace-host
    if [ -e /run/systemd/resolve/resolv.conf ]; then names=replace-uplink; fi
    # The next system may be another, so what starts it again is the unit.
    export EXIT_ON_REBOOT=1
    mkdir -p ${roots}
    ln -sfn "$system" "${roots}/$1"
    exec ${pkgs.debian.systemd-container}/bin/systemd-nspawn \
      --quiet --keep-unit --machine="$1" --directory="$root" --notify-ready=yes --kill-signal=SIGRTMIN+3 --console=pipe \
      --resolv-conf="$names" --timezone=off --bind-ro=/nix/store "''${flags[@]}" "$system/init"
  '';
  # The container's first process is the only child of systemd-nspawn.
  switch = pkgs.writeShellScript "container-switch" ''
    set -e
    . "/etc/nixos-containers/$1.conf"
    children=$(< "/proc/$2/task/$2/children")
    ${pkgs.debian.util-linux}/bin/nsenter --target="''${children%% *}" --mount --uts --ipc --net --pid --cgroup --root --wd \
      "$system/bin/switch-to-configuration" test
    ${pkgs.debian.coreutils}/bin/ln -sfn "$system" "${roots}/$1"
  '';

  forwarded = lib.concatMap (one: map (forward one) one.forwardPorts) (builtins.attrValues all);
  forward = one: port:
    let inner = if port.containerPort != null then port.containerPort else port.hostPort; in
    "fib daddr type local ip daddr != 127.0.0.0/8 ${port.protocol} dport ${toString port.hostPort} dnat to ${bare one.localAddress}:${toString inner}";
in
{
  options = {
    boot.enableContainers = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether this machine can have containers.";
    };
    containers = mkOption {
      default = { };
      example = literalExpression ''{ web = { autoStart = true; config = { services.nginx.enable = true; }; }; }'';
      description = "Containers, by their names.";
      type = types.attrsOf (types.submodule ({ name, config, ... }: {
        options = {
          config = system name;
          path = mkOption {
            type = types.path;
            default = config.config.system.build.toplevel;
            defaultText = literalExpression "the toplevel of `config`";
            example = "/nix/var/nix/profiles/containers/web";
            description = "A toplevel, in place of one that is made of `config`.";
          };
          specialArgs = mkOption {
            type = types.attrsOf types.unspecified;
            default = { };
            example = literalExpression "{ inherit inputs; }";
            description = "Further arguments of the modules in `config`, which are there while their `imports` are read.";
          };
          autoStart = flag "Whether the container is started with this machine.";
          restartIfChanged = mkOption {
            type = types.bool;
            default = true;
            example = false;
            description = "Whether a switch changes a running container: to its new system, and by starting it again where that is not enough.";
          };
          privateNetwork = flag "Whether the container has a network of its own; without, it has this machine's.";
          hostAddress = address "10.231.136.1" "on this machine, for IPv4";
          hostAddress6 = address "fc00::1" "on this machine, for IPv6";
          localAddress = address "10.231.136.2" "in the container, for IPv4";
          localAddress6 = address "fc00::2" "in the container, for IPv6";
          hostBridge = mkOption {
            type = types.nullOr types.str;
            default = null;
            example = "br0";
            description = "A bridge of this machine's that the link is part of, in place of having an address here.";
          };
          interfaces = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "eth1" ];
            description = "Interfaces of this machine's that are the container's while it runs.";
          };
          macvlans = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "eth1" ];
            description = "Interfaces of this machine's that the container has a part of, with an address of its own on the wire.";
          };
          forwardPorts = mkOption {
            type = types.listOf (types.submodule {
              options = {
                protocol = mkOption { type = types.enum [ "tcp" "udp" ]; default = "tcp"; example = "udp"; description = "The protocol."; };
                hostPort = mkOption { type = types.port; example = 8080; description = "The port of this machine."; };
                containerPort = mkOption {
                  type = types.nullOr types.port;
                  default = null;
                  example = 80;
                  description = "The container's port; null for the same.";
                };
              };
            });
            default = [ ];
            example = [ { hostPort = 8080; containerPort = 80; } ];
            description = "Ports of this machine that are the container's; they are open whatever `networking.firewall` says.";
          };
          bindMounts = mkOption {
            type = types.attrsOf (types.submodule ({ name, ... }: {
              options = {
                mountPoint = mkOption {
                  type = types.str;
                  default = name;
                  defaultText = literalExpression "the attribute's name";
                  example = "/srv";
                  description = "Where it is in the container.";
                };
                hostPath = mkOption {
                  type = types.nullOr types.str;
                  default = null;
                  example = "/srv/web";
                  description = "Where it is on this machine; null for the same place.";
                };
                isReadOnly = mkOption {
                  type = types.bool;
                  default = true;
                  example = false;
                  description = "Whether the container can only read it.";
                };
              };
            }));
            default = { };
            example = { "/srv".hostPath = "/srv/web"; };
            description = "Files and folders of this machine that the container sees.";
          };
          tmpfs = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "/var/cache" ];
            description = "Folders of the container that are in memory.";
          };
          ephemeral = flag "Whether the container begins with no files of its own each time it is started.";
          additionalCapabilities = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "CAP_NET_ADMIN" ];
            description = "Rights of capabilities(7) that the container has beside the usual ones.";
          };
          extraFlags = mkOption {
            type = types.listOf types.str;
            default = [ ];
            example = [ "--drop-capability=CAP_SYS_CHROOT" ];
            description = "Further arguments of systemd-nspawn(1).";
          };
        };
      }));
    };
  };

  config = lib.mkIf (config.boot.enableContainers && all != { }) {
    environment.systemPackages = [ pkgs.debian.systemd-container ];
    environment.etc = lib.mapAttrs'
      (name: one: {
        name = "nixos-containers/${name}.conf";
        value.text = ''
          system=${one.path}
          flags=( ${lib.escapeShellArgs (flagsOf name one)} )
          ephemeral=${if one.ephemeral then "1" else "0"}
        '';
      })
      all;

    systemd.services = {
      "container@" = {
        description = "The container %i";
        after = [ "network.target" ];
        wants = [ "network.target" ];
        unitConfig.RequiresMountsFor = [ "${folder}/%i" ];
        serviceConfig = {
          Type = "notify";
          ExecStart = "${run} %i";
          ExecReload = "${switch} %i $MAINPID";
          ExecStopPost = "${pkgs.debian.coreutils}/bin/rm -f ${roots}/%i";
          SyslogIdentifier = "container %i";
          # What systemd-nspawn ends with when the container wants to be started again.
          RestartForceExitStatus = 133;
          SuccessExitStatus = 133;
          Restart = "on-failure";
          KillMode = "mixed";
          TimeoutStartSec = 120;
          TimeoutStopSec = 60;
          Slice = "machine.slice";
          Delegate = true;
          DevicePolicy = "closed";
          DeviceAllow = [ "/dev/net/tun rwm" "char-pts rw" ];
        };
      };
    } // lib.mapAttrs'
      (name: one: {
        name = "container@${name}";
        value = {
          wantedBy = optional one.autoStart "multi-user.target";
          restartTriggers = flagsOf name one;
          reloadTriggers = [ one.path ];
          inherit (one) restartIfChanged;
        };
      })
      all;

    systemd.network.networks = lib.mapAttrs'
      (name: one: {
        name = "40-ve-${name}";
        value = {
          matchConfig.Name = "ve-${name}";
          linkConfig.RequiredForOnline = false;
          networkConfig = { LinkLocalAddressing = "ipv6"; } // optionalAttrs (one.hostBridge != null) { Bridge = one.hostBridge; };
          address = map show (addresses 4 one.hostAddress ++ addresses 6 one.hostAddress6);
          routes = map (address: { Destination = show (address // { prefixLength = if lib.hasInfix ":" address.address then 128 else 32; }); })
            (optionals (one.hostBridge == null) (addresses 4 one.localAddress ++ addresses 6 one.localAddress6));
        };
      })
      (lib.filterAttrs (_: one: one.privateNetwork) all);

    boot.kernel.sysctl = lib.mkIf (forwarded != [ ]) { "net.ipv4.ip_forward" = lib.mkDefault true; };
    networking.nftables.tables = lib.mkIf (forwarded != [ ]) {
      nixos-containers = {
        family = "ip";
        content = lib.concatMapStrings
          (hook: "chain ${hook} {\n  type nat hook ${hook} priority -100;\n${lib.concatMapStrings (rule: "  ${rule}\n") forwarded}}\n")
          [ "prerouting" "output" ];
      };
    };
    networking.extraHosts = lib.concatStrings (lib.mapAttrsToList
      (name: one: lib.concatMapStrings (text: "${bare text} ${name}.containers\n") (builtins.filter (text: text != null) [ one.localAddress one.localAddress6 ]))
      all);

    system.build.data.containers = lib.mapAttrs (_: one: { system = "${one.path}"; }) all;

    assertions = lib.concatLists (lib.mapAttrsToList
      (name: one:
        let isLong = builtins.stringLength name > 12; in
        [
          {
            assertion = builtins.match "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?" name != null;
            message = "`containers.${builtins.toJSON name}` cannot have this name: it is the name of a machine, of letters, digits and `-`";
          }
          {
            assertion = !(one.privateNetwork && isLong);
            message = "`containers.${name}` has a network of its own, so its name cannot be longer than 12 letters: the name of its interface, `ve-${name}`, would be too long for the kernel";
          }
          {
            assertion = one.privateNetwork
              || builtins.all (value: value == null) [ one.hostAddress one.localAddress one.hostAddress6 one.localAddress6 one.hostBridge ];
            message = "`containers.${name}` has addresses, which need `privateNetwork`";
          }
          {
            assertion = one.hostBridge == null || (one.hostAddress == null && one.hostAddress6 == null);
            message = "`containers.${name}` has `hostBridge`, and so its link has no address on this machine: `hostAddress` and `hostAddress6` cannot be set";
          }
          {
            assertion = one.forwardPorts == [ ] || one.localAddress != null;
            message = "`containers.${name}.forwardPorts` needs `localAddress`, the address that is forwarded to";
          }
        ])
      all);
  };
}
