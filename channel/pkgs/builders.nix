/**
  Small builders: files, scripts, trees of links.

  Texts are written by Bash alone, which runs from the store: that needs no /usr, and so no farm is made for each line of a configuration.
  What runs a user's commands has the tools of `stdenvNoCC`.
*/
{ lib, archive, self }:
let
  inherit (builtins) filter isAttrs isString concatMap;

  bash = "${archive.packages.bash}/bin/bash";
  coreutils = "${archive.packages.coreutils}/bin";

  # A derivation that needs Bash, coreutils, and nothing else.
  plain = name: attrs: script: derivation ({
    inherit name;
    inherit (archive) system;
    builder = bash;
    args = [ "-euc" ("PATH=${coreutils}\n" + script) ];
    preferLocalBuild = true;
    allowSubstitutes = false;
  } // attrs);

  withMeta = drv: { meta ? { }, passthru ? { }, ... }: drv // { inherit meta passthru; } // passthru;

  run = stdenv: name: env: script:
    stdenv.mkDerivation ({ inherit name; buildCommand = script; } // env // { passAsFile = [ "buildCommand" ] ++ env.passAsFile or [ ]; });

  # Which of a package's outputs an environment shows, with their priority, for `builtin:buildenv`.
  outputsOf = extra: drv:
    if isString drv || builtins.isPath drv || !(drv ? meta) then [ drv ]
    else
      let wanted = drv.meta.outputsToInstall or [ (drv.outputName or "out") ] ++ filter (output: drv ? ${output}) extra; in
      map (output: drv.${output} or drv) (lib.unique wanted);
  elementOf = extra: drv:
    let outputs = outputsOf extra drv; in
    [ "true" (toString (drv.meta.priority or 5)) (toString (builtins.length outputs)) ] ++ outputs;
  makeTree = { name, paths, pathsToLink ? [ "/" ], extraOutputsToInstall ? [ ], postBuild ? "", ignoreCollisions ? false, meta ? { }, passthru ? { }, ... }@args:
    let
      tree = derivation {
        inherit name;
        system = "builtin";
        builder = "builtin:buildenv";
        preferLocalBuild = true;
        allowSubstitutes = false;
        derivations = concatMap (elementOf extraOutputsToInstall) paths;
      };
    in
    if !ignoreCollisions && pathsToLink == [ "/" ] && postBuild == "" then withMeta tree args
    else
      run self.stdenvNoCC name
        ({ inherit pathsToLink postBuild meta passthru; paths = if ignoreCollisions then concatMap (outputsOf extraOutputsToInstall) paths else [ tree ]; passAsFile = [ "paths" ]; }
          // lib.filterAttrs (key: _: lib.elem key [ "nativeBuildInputs" "buildInputs" ]) args)
        ''
          mkdir -p $out
          for path in $(< $pathsPath); do
            for wanted in $pathsToLink; do
              if [ -d "$path$wanted" ]; then
                mkdir -p "$out$wanted"
                linkTree "$path$wanted" "$out$wanted"
              fi
            done
          done
          eval "$postBuild"
        '';
in
rec {
  /** name -> attributes -> script -> derivation: a script, in Bash, that makes `$out`. */
  runCommand = run self.stdenvNoCC;
  /** As runCommand, with a compiler. */
  runCommandCC = run self.stdenv;
  /** As runCommand, where substituting would take longer than running. */
  runCommandLocal = name: env: runCommand name ({ preferLocalBuild = true; allowSubstitutes = false; } // env);
  runCommandNoCC = runCommand;

  /** { name; text; executable ? false; destination ? ""; checkPhase ? ""; meta ?; passthru ?; } -> derivation */
  writeTextFile = { name, text, executable ? false, destination ? "", checkPhase ? "", ... }@args:
    let
      write = ''
        target=$out${lib.escapeShellArg destination}
        mkdir -p "''${target%/*}"
        if [ -e "$textPath" ]; then cp "$textPath" "$target"; fi
        ${lib.optionalString executable ''chmod +x "$target"''}
      '';
      attrs = { inherit text; passAsFile = [ "text" ]; };
    in
    withMeta
      (if checkPhase == "" then plain (lib.strings.sanitizeDerivationName name) attrs write
      else runCommandLocal (lib.strings.sanitizeDerivationName name) attrs (write + checkPhase))
      args;

  /** name -> text -> derivation */
  writeText = name: text: writeTextFile { inherit name text; };
  /** name -> text -> derivation: an executable file. */
  writeScript = name: text: writeTextFile { inherit name text; executable = true; };
  /** name -> text -> derivation: an executable `bin/name`. */
  writeScriptBin = name: text: writeTextFile { inherit name text; executable = true; destination = "/bin/${name}"; };
  /** name -> commands -> derivation: a script for Bash. */
  writeShellScript = name: text: writeTextFile { inherit name; executable = true; text = "#!${bash}\n${text}\n"; };
  /** name -> commands -> derivation: a script for Bash as `bin/name`. */
  writeShellScriptBin = name: text: writeTextFile {
    inherit name;
    executable = true;
    destination = "/bin/${name}";
    text = "#!${bash}\n${text}\n";
    meta.mainProgram = name;
  };
  /** { name; text; runtimeInputs ? [ ]; … } -> derivation: as writeShellScriptBin, strict, with commands of its own. */
  writeShellApplication = { name, text, runtimeInputs ? [ ], runtimeEnv ? { }, bashOptions ? [ "errexit" "nounset" "pipefail" ], meta ? { }, ... }:
    writeTextFile {
      inherit name;
      executable = true;
      destination = "/bin/${name}";
      text = ''
        #!${bash}
        ${lib.concatMapStrings (option: "set -o ${option}\n") bashOptions}${
          lib.concatStrings (lib.mapAttrsToList (key: value: "export ${lib.toShellVar key value}\n") runtimeEnv)}${
          lib.optionalString (runtimeInputs != [ ]) "export PATH=\"${lib.makeBinPath runtimeInputs}:$PATH\"\n"}
        ${text}
      '';
      meta = { mainProgram = name; } // meta;
    };

  /** name -> [file] -> derivation: one file of several. */
  concatText = name: files: plain name { inherit files; } "cat $files > $out";

  /** { name; paths; postBuild ? ""; … } -> derivation: a tree of links with real folders; of two files the first is taken. */
  symlinkJoin = { name ? "${args.pname}-${args.version}", paths, preferLocalBuild ? true, allowSubstitutes ? false, postBuild ? "", ... }@args:
    runCommand name
      (removeAttrs args [ "name" "postBuild" ] // { inherit paths preferLocalBuild allowSubstitutes; passAsFile = [ "paths" ]; })
      ''
        mkdir -p $out
        for path in $(< $pathsPath); do
          linkTree "$path" "$out"
        done
        ${postBuild}
      '';

  /** name -> [ { name; path; } ] or { name = path; } -> derivation: a folder of links. */
  linkFarm = name: entries:
    let
      list = if isAttrs entries then lib.mapAttrsToList (key: path: { name = key; inherit path; }) entries else entries;
    in
    plain name { } (''
      mkdir -p $out
      cd $out
    '' + lib.concatMapStrings (entry: ''
      mkdir -p -- "$(dirname -- ${lib.escapeShellArg entry.name})"
      ln -s -- ${lib.escapeShellArg "${entry.path}"} ${lib.escapeShellArg entry.name}
    '') list);
  /** name -> [derivation] -> derivation: a folder of links by the derivations' names. */
  linkFarmFromDrvs = name: drvs: linkFarm name (map (drv: { inherit (drv) name; path = drv; }) drvs);

  /** { name; paths; pathsToLink ? [ "/" ]; postBuild ? ""; … } -> derivation: as user environments are; the package with the lower
      `meta.priority` wins, and two files of equal priority are an error.  What `nix-env` installs of it has launchers. */
  buildEnv = { paths, ... }@args:
    let
      placed = map (path: if isAttrs path && path ? inProfile then path.inProfile // { meta = path.meta or { }; } else path) paths;
    in
    makeTree args // { inProfile = makeTree (args // { paths = placed; }); };

  /** A setup hook: `makeWrapper program wrapper --set NAME VALUE --prefix NAME : VALUE …`, and `wrapProgram`. */
  makeWrapper = makeSetupHook { name = "make-wrapper"; } ./stdenv/make-wrapper.sh;
  makeShellWrapper = makeWrapper;
  makeBinaryWrapper = makeWrapper;
  /** A setup hook: `installManPage`, `installShellCompletion`. */
  installShellFiles = makeSetupHook { name = "install-shell-files"; } ./stdenv/install-shell-files.sh;

  /** { name; propagatedBuildInputs ? [ ]; substitutions ? { }; } -> file -> derivation: what a build sources that has it among its inputs. */
  makeSetupHook = { name ? "hook", propagatedBuildInputs ? [ ], deps ? [ ], substitutions ? { }, ... }@args: script:
    let
      pairs = lib.mapAttrsToList (key: value: "text=\${text//'@${key}@'/${lib.escapeShellArg "${value}"}}\n") substitutions;
    in
    withMeta
      (plain name { } ''
        mkdir -p $out/nix-support
        text=$(< ${script})
        ${lib.concatStrings pairs}
        echo "$text" > $out/nix-support/setup-hook
      '')
      args // { propagatedBuildInputs = propagatedBuildInputs ++ deps; };

  /** A file with each `@name@` replaced by the attribute of that name. */
  substituteAll = args: runCommandLocal args.name or (baseNameOf (toString args.src)) args "substituteAll $src $out";
  replaceVars = src: vars: runCommandLocal (baseNameOf (toString src)) (vars // { inherit src; }) "substituteAll $src $out";

  /** A folder and a file with nothing in them. */
  emptyDirectory = plain "empty-directory" { } "mkdir $out";
  emptyFile = plain "empty-file" { } ": > $out";
}
