/**
  `stdenv.mkDerivation`: packages from their sources, over Debian's compiler.

  A build runs in a farm of its inputs: Debian's packages among them, with all that they need, are its /usr (`usrFarm`), so compilers,
  interpreters and configure scripts find everything where they expect it.  Inputs that were built here are found by variables, as with nixpkgs.
  The phases, and what is done to the outputs, are `build/setup`.

  There is one kind of dependency: nothing here is compiled for another architecture.
*/
{ lib, archive, config, pkgs }:
let
  inherit (builtins) concatLists filter isAttrs isList;

  debian = archive.packages;

  # What a Debian system always has, and a script may expect.
  tools = with debian; [
    bash base-files base-passwd coreutils dash debianutils diffutils findutils gawk grep gzip bzip2 xz-utils hostname libc-bin make ncurses-base
    patch sed tar patchelf binutils file util-linux procps
  ];
  compiler = with debian; [ gcc debian."g++" libc6-dev pkgconf ];

  kinds = [
    "depsBuildBuild" "nativeBuildInputs" "depsBuildTarget" "depsHostHost" "buildInputs" "depsTargetTarget"
    "depsBuildBuildPropagated" "propagatedNativeBuildInputs" "depsBuildTargetPropagated" "depsHostHostPropagated" "propagatedBuildInputs"
    "depsTargetTargetPropagated"
  ];
  # Flattened, without nulls.
  listOf = value: filter (one: one != null && one != false) (lib.flatten (if isList value then value else [ value ]));

  isDebian = input: isAttrs input && input ? debian;
  # A package and its headers.
  withHeaders = input: if isAttrs input && input ? dev then [ input.dev ] ++ lib.optional (input.dev != input) input else [ input ];
  # What comes along with what was built here.
  propagated = input:
    if !isAttrs input || isDebian input then [ ]
    else listOf (input.propagatedBuildInputs or [ ]) ++ listOf (input.propagatedNativeBuildInputs or [ ]);
  closureOf = inputs:
    map (one: one.input) (builtins.genericClosure {
      startSet = map (input: { key = keyOf input; inherit input; }) inputs;
      operator = one: map (input: { key = keyOf input; inherit input; }) (propagated one.input);
    });
  # Debian's packages that scripts of a package built here may look for; of those for building alone, interpreters and their modules.
  wantedAtRunTime = attrs:
    let of = kinds: filter isDebian (closureOf (listOf (concatLists (map (kind: listOf (attrs.${kind} or [ ])) kinds)))); in
    map (name: debian.${name}) (lib.unique (map (one: one.debian.name) (
      of [ "buildInputs" "propagatedBuildInputs" "propagatedNativeBuildInputs" ] ++ filter isInterpreter (of [ "nativeBuildInputs" ]))));
  isInterpreter = package: builtins.match "lib.*-perl|(guile|lua|node|nodejs|perl|php|python3|r|ruby|tcl)([0-9.-].*)?" package.debian.name != null;
  # A store path that is not forced into being: only compared.
  keyOf = input: if isDebian input then "debian:${input.debian.name}" else builtins.unsafeDiscardStringContext "${input}";

  # What is no variable of the build; hardening is as Debian's compiler has it.
  withoutOwn = attrs: removeAttrs attrs [
    "meta" "passthru" "pos" "env" "checkInputs" "nativeCheckInputs" "installCheckInputs" "nativeInstallCheckInputs" "builder" "realBuilder"
    "enableParallelBuilding" "enableParallelChecking" "strictDeps" "__darwinAllowLocalNetworking" "hardeningDisable" "hardeningEnable"
  ];

  makeStdenv = { name, hasCompiler }:
    let
      build = name: attrs:
        let
          checked = lib.optionals (attrs.doCheck or false) (attrs.nativeCheckInputs or [ ] ++ attrs.checkInputs or [ ])
            ++ lib.optionals (attrs.doInstallCheck or false) (attrs.nativeInstallCheckInputs or [ ] ++ attrs.installCheckInputs or [ ]);
          direct = listOf (concatLists (map (kind: listOf (attrs.${kind} or [ ])) kinds) ++ checked);
          all = closureOf (lib.concatMap withHeaders direct);
          own = filter (input: !isDebian input) all;
          farm = archive.makeFarm' {
            packages = tools ++ lib.optionals hasCompiler compiler ++ map (one: debian.${one}) (lib.unique (map (one: one.debian.name) (filter isDebian all)));
            byteCode = true;
          };
          outputs = attrs.outputs or [ "out" ];
          parallel = attrs.enableParallelBuilding or config.enableParallelBuildingByDefault or false;
        in
        derivation (withoutOwn attrs // lib.genAttrs kinds (kind: listOf (attrs.${kind} or [ ])) // {
          inherit name outputs;
          inherit (archive) system;
          __ignoreNulls = true;
          builder = attrs.realBuilder or "${debian.bash}/bin/bash";
          args = attrs.args or [ "-e" (attrs.builder or "${folder}/default-builder.sh") ];
          stdenv = folder;
          usrFarm = farm;
          # Inputs that were built here, with what they propagate.
          ownInputs = own;
          doCheck = attrs.doCheck or false;
          doInstallCheck = attrs.doInstallCheck or false;
        }
        // lib.optionalAttrs parallel { enableParallelBuilding = true; }
        // attrs.env or { });

      make = rattrs:
        let
          attrs = rattrs (attrs // { finalPackage = package; });
          drvName =
            if attrs ? name then attrs.name
            else if attrs ? pname then lib.strings.sanitizeDerivationName "${attrs.pname}-${attrs.version or (throw "mkDerivation: `${attrs.pname}` has a `pname` and no `version`")}"
            else throw "mkDerivation: needs `pname` and `version`, or `name`";
          drv = build drvName attrs;
          outputs = attrs.outputs or [ "out" ];
          installed = package.meta.outputsToInstall;
          wanted = wantedAtRunTime attrs;
          launchers = archive.launchersFor { name = drvName; built = map (output: package.${output}) installed; inherit wanted; };
          package = lib.extendDerivation true ({
            name = drvName;
            inherit stdenv;
            meta = {
              outputsToInstall = [ (if lib.elem "bin" outputs then "bin" else builtins.head outputs) ] ++ lib.optional (lib.elem "man" outputs) "man";
              platforms = [ archive.system ];
              available = true;
            } // attrs.meta or { };
            passthru = attrs.passthru or { };
            # What `nix-env` installs of it: scripts of most interpreters have to see a /usr.
            inProfile =
              if archive.canLaunch && lib.any isInterpreter wanted then launchers // lib.genAttrs installed (_: launchers) // { outputs = installed; }
              else package;
            override = _: throw "`${drvName}` was made by no function that `override` could call again: `callPackage` makes such packages";
            overrideAttrs = f: make (final: let prev = rattrs final; in prev // lib.toExtension f final prev);
          } // lib.getAttrs (filter (key: attrs ? ${key}) [ "pname" "version" ]) attrs // attrs.passthru or { }) drv;
        in
        package;

      stdenv = {
        inherit name;
        inherit (archive) system;
        outPath = folder;
        mkDerivation = given: make (lib.toFunction given);
        shell = "${debian.bash}/bin/bash";
        cc = if !hasCompiler then null else pkgs.gcc // { isGNU = true; isClang = false; cc = pkgs.gcc; targetPrefix = ""; };
        hostPlatform = platform;
        buildPlatform = platform;
        targetPlatform = platform;
        isLinux = true;
        isDarwin = false;
        is64bit = platform.is64bit;
        override = _: stdenv;
        initialPath = tools;
      };
    in
    stdenv;

  platform = lib.systems.elaborate archive.system;
  folder = "${builtins.path { name = "stdenv"; path = ./build; }}";

  makeShell = stdenv: { name ? "nix-shell", packages ? [ ], inputsFrom ? [ ], shellHook ? "", ... }@args:
    let
      merged = kind: args.${kind} or [ ] ++ lib.subtractLists inputsFrom (lib.concatMap (one: listOf (one.${kind} or [ ])) inputsFrom);
    in
    stdenv.mkDerivation (removeAttrs args [ "packages" "inputsFrom" "shellHook" ] // {
      inherit name;
      buildInputs = merged "buildInputs";
      nativeBuildInputs = packages ++ merged "nativeBuildInputs";
      propagatedBuildInputs = merged "propagatedBuildInputs";
      propagatedNativeBuildInputs = merged "propagatedNativeBuildInputs";
      shellHook = lib.concatStringsSep "\n" (lib.catAttrs "shellHook" (lib.reverseList inputsFrom ++ [ { inherit shellHook; } ]));
      phases = [ "buildPhase" ];
      preferLocalBuild = true;
      # Whoever builds a shell gets its inputs as a closure.
      buildPhase = ''
        export > $out
      '';
    });
in
rec {
  /** Tools and a C compiler. */
  stdenv = makeStdenv { name = "stdenv"; hasCompiler = true; };
  /** Tools alone. */
  stdenvNoCC = makeStdenv { name = "stdenv-no-cc"; hasCompiler = false; };
  /** { packages ? [ ]; inputsFrom ? [ ]; shellHook ? ""; … } -> derivation: for nix-shell. */
  mkShell = makeShell stdenv;
  mkShellNoCC = makeShell stdenvNoCC;
}
