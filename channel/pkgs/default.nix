/**
  The package set: Debian's packages, the names that nixpkgs' users have for them, and what packages are made with.

  Later layers come before earlier ones: the archive, names, languages, tools, `config.packageOverrides`, overlays.  Binary packages depend
  on binary packages, so an overlay changes what is built here and what people ask for, and never what Debian has built.
*/
{ lib, archive, system, config, overlays }:
let
  inherit (builtins) filter isList mapAttrs;

  names = import ./names.nix;

  # The package that a row means in this suite, or null.
  choose = row:
    let there = filter (name: archive.names ? ${name}) (if isList row then row else [ row ]); in
    if there == [ ] then null else archive.packages.${builtins.head there};
  present = rows: lib.filterAttrs (_: package: package != null) (mapAttrs (_: choose) rows);

  named = present names.packages;
  dev = present names.dev;
  # Headers come with a package that nixpkgs has both in, as its output `dev` there.
  withDev = name: headers:
    let package = named.${name} or archive.packages.${name} or headers; in
    package // { dev = headers; };

  renamed = named // mapAttrs withDev dev;

  base = self:
    archive.packages
    // archive.spelled
    // renamed
    // import ./languages.nix { inherit lib archive self; rows = names; }
    // import ./builders.nix { inherit lib archive self; }
    // import ./fetchers.nix { inherit lib config; }
    // {
      inherit lib system config overlays;
      inherit (archive) makeFarm makeFarm' virtual;
      nivalis = import ./nivalis { inherit lib; pkgs = self; };
      inherit (import ./stdenv { inherit lib archive config; pkgs = self; }) stdenv stdenvNoCC mkShell mkShellNoCC;

      /** Debian's packages and no other names: `debian.docker` is what the archive calls so. */
      debian = archive.packages;
      snapshot = archive.about // { inherit (archive) folder; };

      callPackage = lib.callPackageWith self;
      callPackages = lib.callPackagesWith self;
      newScope = extra: lib.callPackageWith (self // extra);
      extend = overlay: make (layers ++ [ overlay ]);
      appendOverlays = more: make (layers ++ more);

      pkgs = self;
      buildPackages = self;
      targetPackages = self;
      pkgsBuildBuild = self;
      pkgsBuildHost = self;
      pkgsHostTarget = self;
      hostPlatform = self.stdenv.hostPlatform;
      buildPlatform = self.stdenv.hostPlatform;
      targetPlatform = self.stdenv.hostPlatform;
      path = ../.;
    };

  layers = lib.optional (config ? packageOverrides) (_: config.packageOverrides) ++ overlays;
  make = given: lib.fix (lib.foldl' (f: overlay: lib.extends overlay f) base given);
in
make layers
