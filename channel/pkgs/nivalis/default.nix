/**
  nivalis itself, as a package of the channel: a virtual environment of the suite's Python, as pip would make one.

  Its own files are found where the channel is: a channel that `nivalis channel update` made names their store path in `nivalis.nix`; in an installed
  nivalis the channel is a folder of the package; in a checkout they are in `src`.  What it needs beside Python comes as wheels, locked by their hashes
  (`wheels.json`, made by `lock.py`); the kernel runs on any glibc from 2.28 on.
*/
{ lib, pkgs }:
let
  debian = pkgs.debian;
  # The folder that has the package `nivalis`.
  parent = if builtins.pathExists ../../../src/nivalis/__init__.py then ../../../src else ../../../..;
  isFetched = builtins.pathExists ../../nivalis.nix;
  folder = if isFetched then source else parent;
  root = toString parent;
  # The package, without the channel and what running it leaves there.
  isPart = path: type:
    let place = lib.removePrefix "${root}/" path; in
    (place == "nivalis" || lib.hasPrefix "nivalis/" place) && !lib.elem (baseNameOf path) [ "__pycache__" "_channel" ] && place != "nivalis/system/target";

  channel = toString ../..;
  isChannel = path: type: !lib.elem path [ "${channel}/snapshot" "${channel}/nivalis.nix" ] && baseNameOf path != "__pycache__";

  version = builtins.head (builtins.match ".*__version__ = \"([0-9.]+)\".*" (builtins.readFile (folder + "/nivalis/__init__.py")));
  python = lib.versions.majorMinor debian.python3.version;
  wheels = (lib.importJSON ./wheels.json).${python} or (throw "nivalis has no wheels for Python ${python} of ${pkgs.snapshot.system}: `lock.py` beside this file makes the list");
  fetch = wheel: derivation {
    name = wheel.file;
    system = "builtin";
    builder = "builtin:pypi-fetch";
    inherit (wheel) project file;
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = wheel.sha256;
    preferLocalBuild = true;
  };

  farm = pkgs.makeFarm [ debian.python3 ];
  # A channel that was fetched has it in the store.
  source =
    if isFetched then import ../../nivalis.nix
    else builtins.path { name = "nivalis-source"; path = parent; filter = isPart; };
  programs = {
    nivalis = "nivalis.cli:main";
    brightbox = "nivalis.cli.brightbox:main";
    nix-build = "nivalis.cli.start:nix_build";
    nix-channel = "nivalis.cli.nix_channel:main";
    nix-collect-garbage = "nivalis.cli.nix_collect_garbage:main";
    nix-env = "nivalis.cli.start:nix_env";
    nix-hash = "nivalis.cli.nix_hash:main";
    nix-instantiate = "nivalis.cli.start:nix_instantiate";
    nix-prefetch-url = "nivalis.cli.nix_prefetch_url:main";
    nix-shell = "nivalis.cli.start:nix_shell";
    nix-store = "nivalis.cli.start:nix_store";
    nixos-generate-config = "nivalis.cli.nixos_generate_config:main";
    nixos-option = "nivalis.cli.nixos_option:main";
    nixos-rebuild = "nivalis.cli.nixos_rebuild:main";
    nixos-version = "nivalis.cli.nixos_version:main";
  };

  channelFiles = builtins.path { name = "channel"; path = ../..; filter = isChannel; };

  # The snapshot as a store path: it is one already, or is copied.
  snapshot =
    let place = toString pkgs.snapshot.folder; in
    if lib.hasPrefix "${builtins.storeDir}/" place || builtins.pathExists (../../snapshot) && toString ../../snapshot == place
    then builtins.storePath place
    else builtins.path { name = "debian-${(builtins.head pkgs.snapshot.suites).codename}-snapshot"; path = pkgs.snapshot.folder + "/."; };

  # Written by Bash alone.
  bash = "${debian.bash}/bin/bash";
  coreutils = "${debian.coreutils}/bin";

  /** name -> derivation: the user environment of one channel, this one, as `nix-channel --update` makes it. */
  makeChannels = name:
    let
      date = builtins.replaceStrings [ "-" ] [ "" ] (builtins.substring 0 10 pkgs.snapshot.date);
      channel = derivation {
        name = "${name}-${date}";
        inherit (pkgs) system;
        builder = bash;
        args = [ "-euc" ''
          PATH=${coreutils}
          mkdir -p $out/${name}
          cp -r ${channelFiles}/. $out/${name}
          chmod u+w $out/${name}
          ln -s ${snapshot} $out/${name}/snapshot
          echo 'builtins.storePath "${source}"' > $out/${name}/nivalis.nix
        '' ];
        preferLocalBuild = true;
        allowSubstitutes = false;
      };
      place = builtins.unsafeDiscardStringContext "${channel}";
      manifest = builtins.toFile "env-manifest.nix" ''[ { meta = { }; name = "${channel.name}"; out = { outPath = "${place}"; }; outPath = "${place}"; outputs = [ "out" ]; system = "builtin"; type = "derivation"; } ]'';
    in
    derivation {
      name = "user-environment";
      system = "builtin";
      builder = "builtin:buildenv";
      derivations = [ "true" "5" "1" channel ];
      inherit manifest;
      preferLocalBuild = true;
      allowSubstitutes = false;
    };

  drv = derivation {
    name = "nivalis-${version}";
    inherit (pkgs) system;
    builder = "${farm}/usr/bin/python3";
    args = [ "-S" "-B" "-P" "${./install.py}" ];
    usrFarm = "${farm}";
    inherit farm source python;
    channel = channelFiles;
    wheels = map fetch wheels;
    libraries = lib.unique (map (package: "${package}/usr/lib/${lib.head (lib.splitString "-" pkgs.system)}-linux-gnu") (with debian; [ libc6 libgcc-s1 ]));
    programs = builtins.toJSON programs;
    preferLocalBuild = true;
  };
in
drv // {
  pname = "nivalis";
  inherit version source programs makeChannels;
  meta = {
    description = "Builds, ships and runs declarative Linux systems";
    license = lib.licenses.mit;
    mainProgram = "nivalis";
    outputsToInstall = [ "out" ];
    platforms = [ pkgs.system ];
    available = true;
  };
}
