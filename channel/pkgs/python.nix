/**
  Python with modules: an environment whose `python3` finds them wherever it is run, and packages built from a pyproject or setup.py.

  Debian's Python looks for itself in /usr.  An environment is what `venv` makes (PEP 405): `bin/python3` is a link to the program, and the file
  `pyvenv.cfg` beside it says where the library is, which is a farm.  So it needs no /usr and no variable that its children would inherit.
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
      farm = self.makeFarm' { packages = [ self.debian.python3 ] ++ builtins.filter isDebian all; byteCode = true; };
      folders = [ "${farm}/usr/lib/python3/dist-packages" ] ++ map (package: "${package}/${self.python3.sitePackages}") own;
    in
    self.runCommandLocal "python3-env"
      {
        inherit farm folders;
        passthru = { inherit (self.python3) pythonVersion sitePackages; python = self.python3; requiredModules = all; };
      }
      ''
        version=$(basename "$(readlink "$farm/usr/bin/python3")")
        mkdir -p "$out/bin" "$out/lib/$version/site-packages"
        ln -s "$(realpath "$farm/usr/bin/python3")" "$out/bin/$version"
        ln -s "$version" "$out/bin/python3"
        ln -s python3 "$out/bin/python"
        printf '%s\n' "home = $farm/usr/bin" 'include-system-site-packages = false' > "$out/pyvenv.cfg"
        for folder in $folders; do
          echo "import site; site.addsitedir('$folder')"
        done > "$out/lib/$version/site-packages/packages.pth"
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
          python3 -m pip wheel --no-deps --no-index --no-build-isolation --no-cache-dir --wheel-dir dist . | cat
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
              place=$(sed -n '/^from __future__/=' "$program" | tail -n 1)
              sed -i "''${place:-1}a import sys; sys.path.insert(0, '$out/${self.python3.sitePackages}')" "$program"
            fi
          done
          for module in $pythonImportsCheck; do
            PYTHONPATH=$out/${self.python3.sitePackages} "$pythonEnv/bin/python3" -c "import $module"
          done
        '' + args.postFixup or "";
        passthru = passthru // { requiredModules = modules; pythonModule = self.python3; };
      });
    in
    # Its programs have an environment that needs no /usr.
    package // { inProfile = package; };
in
{
  inherit makeEnv buildPythonPackage;
  buildPythonApplication = buildPythonPackage;
}
