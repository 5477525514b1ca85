/**
  The sets of languages: `python3Packages.requests` is Debian's python3-requests.

  They are made of the archive's names when they are asked for.  Names are those without the prefix and suffix of the language, in small
  letters, and spelled as identifiers; where nixpkgs has another, `names.nix` says so.
*/
{ lib, archive, self, rows }:
let
  inherit (builtins) attrNames filter listToAttrs mapAttrs replaceStrings stringLength substring;

  makeSet = prefix: suffix: renames:
    let
      start = stringLength prefix;
      end = stringLength suffix;
      fits = name:
        substring 0 start name == prefix && stringLength name > start + end && (end == 0 || substring (stringLength name - end) end name == suffix);
      stem = name: substring start (stringLength name - start - end) name;
      found = filter fits (attrNames archive.names);
      own = listToAttrs (map (name: { name = stem name; value = archive.packages.${name}; }) found);
      spelled = listToAttrs (map (name: { name = replaceStrings [ "." "+" ] [ "_" "_" ] (stem name); value = archive.packages.${name}; }) found);
      renamed = mapAttrs (_: name: own.${name}) (lib.filterAttrs (_: name: own ? ${name}) renames);
    in
    spelled // own // renamed;

  python3Packages = makeSet "python3-" "" rows.python // {
    python = self.python3;
    inherit (import ./python.nix { inherit lib self; }) buildPythonApplication buildPythonPackage;
  };

  # Debian's package, and what nixpkgs' users ask of an interpreter.
  extendPython = package:
    let
      version = lib.versions.majorMinor archive.names.python3;
      python = package // {
        pkgs = self.python3Packages;
        pythonVersion = version;
        sitePackages = "lib/python3/dist-packages";
        interpreter = "${self.python3.withPackages (_: [ ])}/bin/python3";
        withPackages = choose: self.makePythonEnv (choose self.python3Packages);
        buildEnv.override = { extraLibs ? [ ], ... }: self.makePythonEnv extraLibs;
        dev = archive.packages.python3-dev or package;
        out = package;
      };
    in
    python;
in
{
  inherit python3Packages;
  python3 = extendPython archive.packages.python3;
  python = self.python3;
  pythonPackages = self.python3Packages;
  makePythonEnv = packages: (import ./python.nix { inherit lib self; }).makeEnv packages;

  perlPackages = makeSet "lib" "-perl" { };
  rubyPackages = makeSet "ruby-" "" { };
  nodePackages = makeSet "node-" "" { };
  phpPackages = makeSet "php-" "" { };
  rPackages = makeSet "r-cran-" "" { };
  haskellPackages = makeSet "libghc-" "-dev" { };
  ocamlPackages = makeSet "lib" "-ocaml-dev" { };
  emacsPackages = makeSet "elpa-" "" { };
  luaPackages = makeSet "lua-" "" { };
  vimPlugins = makeSet "vim-" "" { };
}
