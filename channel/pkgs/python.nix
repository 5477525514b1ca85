/**
  Python with modules: an environment whose `python3` finds them wherever it is run, and packages built from a pyproject or setup.py.

  Debian's Python looks for itself in /usr.  Outside of one it is told where it is: the environment's tree is a farm, and its commands
  start Python with PYTHONHOME set to that.
*/
{ lib, self }:
let
  isDebian = package: package ? debian;

  # All that a list of modules needs at run time: Debian's packages, and our own with what they propagate.
  closureOf = packages:
    let
      expand = package: [ package ] ++ lib.concatMap expand (package.requiredModules or [ ]);
    in
    lib.unique (lib.concatMap expand (lib.flatten packages));

  makeEnv = packages:
    let
      all = closureOf packages;
      own = builtins.filter (package: !isDebian package) all;
      farm = self.makeFarm ([ self.debian.python3 ] ++ builtins.filter isDebian all);
      paths = lib.concatMapStringsSep ":" (package: "${package}/${self.python3.sitePackages}") own;
    in
    self.runCommandLocal "python3-env"
      { inherit farm paths; passthru = { inherit (self.python3) pythonVersion sitePackages; python = self.python3; isPythonEnv = true; requiredModules = all; }; }
      ''
        mkdir -p $out/bin $out/nix-support/debian
        for program in $farm/usr/bin/python3 $farm/usr/bin/python3.[0-9]*; do
          name=''${program##*/}
          case $name in *[!0-9.a-z]*) continue ;; esac
          cat > $out/bin/$name <<END
        #!${self.bash}/bin/bash
        export PYTHONHOME=$farm/usr PYTHONNOUSERSITE=1''${paths:+ PYTHONPATH=$paths\''${PYTHONPATH:+:\$PYTHONPATH}}
        exec -a "\$0" $(realpath $program) "\$@"
        END
          chmod +x $out/bin/$name
        done
        ln -s python3 $out/bin/python
      '';

  buildPythonPackage =
    { pname ? null, version ? null, nativeBuildInputs ? [ ], build-system ? [ ], dependencies ? [ ], propagatedBuildInputs ? [ ], pythonImportsCheck ? [ ]
    , nativeCheckInputs ? [ ], checkInputs ? [ ], doCheck ? false, pyproject ? null, format ? null, passthru ? { }, ... }@args:
    let
      modules = dependencies ++ propagatedBuildInputs;
      package = self.stdenvNoCC.mkDerivation (removeAttrs args [ "build-system" "dependencies" "pyproject" "format" "pythonImportsCheck" ] // {
        nativeBuildInputs = [ self.debian.python3 self.debian.python3-pip self.debian.python3-wheel self.debian.python3-setuptools ]
          ++ build-system ++ nativeBuildInputs ++ modules;
        propagatedBuildInputs = modules;
        inherit doCheck pythonImportsCheck;
        pythonEnv = makeEnv modules;
        buildPhase = args.buildPhase or ''
          runHook preBuild
          python3 -m pip wheel --no-deps --no-index --no-build-isolation --no-cache-dir --wheel-dir dist .
          runHook postBuild
        '';
        installPhase = args.installPhase or ''
          runHook preInstall
          python3 ${./stdenv/install-wheel.py} "$out" dist/*.whl
          runHook postInstall
        '';
        postFixup = ''
          for program in $out/bin/*; do
            if [ -f "$program" ] && IFS= read -r line < "$program" && [[ $line == '#!'*python* ]]; then
              sed -i "1c #!$pythonEnv/bin/python3" "$program"
              sed -i "2i import sys; sys.path.insert(0, '$out/${self.python3.sitePackages}')" "$program"
            fi
          done
          for module in $pythonImportsCheck; do
            PYTHONPATH=$out/${self.python3.sitePackages} $pythonEnv/bin/python3 -c "import $module"
          done
        '' + args.postFixup or "";
        passthru = passthru // { requiredModules = modules; pythonModule = self.python3; };
      });
    in
    package;
in
{
  inherit makeEnv buildPythonPackage;
  buildPythonApplication = buildPythonPackage;
}
