/**
  The packages of a snapshot, by Debian's names.

  A snapshot is data: `names.json` says what there is, and each package's record lies in one of 4096 files, found by the hash of its name.
  So what one package costs does not grow with their number.  A record's dependencies are settled already, alternatives and virtual names
  chosen; packages that need each other in a circle are one derivation.

  The format of derivations is that of the builders `builtin:debian-fetch`, `builtin:debian-package` and `builtin:debian-farm`.  No mirror's
  address is part of them.
*/
{ lib, snapshot }:
let
  inherit (builtins) attrNames baseNameOf concatMap concatStringsSep fromJSON hashString head listToAttrs mapAttrs match readFile replaceStrings substring;

  read = file: fromJSON (readFile (snapshot + "/${file}"));
  about =
    let found = read "snapshot.json"; in
    if found.format == 1 then found
    else throw "the snapshot `${toString snapshot}` has format ${toString found.format}, which this channel cannot read: `nivalis channel update` brings both up to date";
  names = read "names.json";

  # Each file is read once, and the table of all 4096 is never made.
  byDigit = f: listToAttrs (map (digit: { name = digit; value = f digit; }) (lib.stringToCharacters "0123456789abcdef"));
  shards = byDigit (a: byDigit (b: byDigit (c: read "packages/${a}${b}${c}.json")));
  recordOf = name:
    let hash = hashString "sha256" name; in
    shards.${substring 0 1 hash}.${substring 1 1 hash}.${substring 2 1 hash}.${name};

  # What a store path's name may hold.
  valid = replaceStrings [ ":" "~" "%" ] [ "-" "-" "-" ];
  # The epoch, which orders versions across a change of scheme, is no part of a file's name in the archive either.
  versionInName = version: let parts = match "([0-9]+:)?(.*)" version; in valid (builtins.elemAt parts 1);

  debOf = name:
    let record = recordOf name; in
    derivation {
      name = valid (baseNameOf record.filename);
      system = "builtin";
      builder = "builtin:debian-fetch";
      path = record.filename;
      outputHashMode = "flat";
      outputHashAlgo = "sha256";
      outputHash = record.sha256;
      preferLocalBuild = true;
    };

  # The derivation of the packages that are one with this one.
  derivationOf = name:
    let
      record = recordOf name;
      members = record.group or [ name ];
      records = map recordOf members;
      depends = attrNames (listToAttrs (map (value: { name = value; inherit value; }) (concatMap (one: one.depends) records)));
      broken = builtins.filter (one: one ? broken) records;
    in
    derivation {
      name = "${head members}-${versionInName names.${head members}}";
      inherit (about) system;
      builder = "builtin:debian-package";
      format = "2";
      packages = concatStringsSep " " members;
      sources = if broken == [ ] then map debOf members else throw "Debian's `${name}` cannot be had: ${(head broken).broken}";
      depends = map (depended: packages.${depended}) depends;
    };

  metaOf = name:
    let
      record = recordOf name;
      isFree = match "pool/(updates/)?(main|contrib)/.*" record.filename != null;
    in
    {
      inherit (record) description section;
      # The index has no licences; which part of the archive a package is in says this much.
      license = if isFree then lib.licenses.free else lib.licenses.unfree;
      platforms = [ about.system ];
      available = !(record ? broken);
      broken = record ? broken;
      source = record.source;
      inherit (record) sourceVersion;
      outputsToInstall = [ "out" ];
    }
    // lib.optionalAttrs (record ? homepage) { inherit (record) homepage; }
    // lib.optionalAttrs (record ? essential) { essential = true; };

  refuse = name: what:
    let record = recordOf name; in
    throw "`${name}` is a binary package of Debian, in which ${what} cannot change; to build it otherwise, make a package of your own with `stdenv.mkDerivation` (its source package is ${record.source} ${record.sourceVersion})";

  # `more` are the names of what may be changed after the fact.
  makePackage = name: more:
    let
      drv = derivationOf name;
      version = names.${name};
      visible = {
        name = "${name}-${versionInName version}";
        pname = name;
        inherit version;
        meta = metaOf name // more.meta or { };
        passthru = more.passthru or { };
      };
      package = drv // visible // {
        out = package;
        all = [ package ];
        outputs = [ "out" ];
        # What it is in the archive.
        debian = { inherit name; record = recordOf name; };
        override = given:
          let arguments = attrNames (if lib.isFunction given then given { } else given); in
          if arguments == [ ] then package
          else refuse name "options of the build (${concatStringsSep ", " arguments})";
        overrideAttrs = given:
          let
            changed = lib.toExtension given visible visible;
            others = attrNames (removeAttrs changed [ "meta" "passthru" ]);
          in
          if others == [ ] then makePackage name (more // changed)
          else refuse name (lib.concatMapStringsSep ", " (other: "`${other}`") others);
      }
      # What `nix-env` installs of it.
      // lib.optionalAttrs canLaunch { inProfile = launchersOf name; }
      // visible.passthru;
    in
    package;

  # What a program finds wherever it is installed: the essential packages, and whom to trust.
  base = map (name: packages.${name}) (builtins.filter (name: names ? ${name}) [
    "base-files" "base-passwd" "bash" "ca-certificates" "coreutils" "dash" "debianutils" "diffutils" "findutils" "grep" "gzip" "hostname"
    "libc-bin" "mawk" "ncurses-base" "ncurses-bin" "sed" "tar" "tzdata" "util-linux"
  ]);
  canLaunch = names ? tcc && names ? musl-dev;
  launcher = import ./launcher { inherit packages; inherit (about) system; };
  launchersOf = name: derivation {
    inherit (packages.${name}) name;
    inherit (about) system;
    builder = "builtin:debian-launchers";
    format = "1";
    package = packages.${name};
    inherit (recordOf name) source;
    inherit base launcher;
    farm = makeFarm' { packages = base ++ [ packages.${name} ]; byteCode = true; };
  };

  # Of a package that was built here, with the outputs `built`, whose scripts find the packages `wanted`.
  launchersFor = { name, built, wanted }: derivation {
    inherit name;
    inherit (about) system;
    builder = "builtin:debian-launchers";
    format = "2";
    inherit built base launcher;
    farm = makeFarm' { packages = base ++ wanted; byteCode = true; };
  };

  packages = mapAttrs (name: _: makePackage name { }) names;

  # The Python that `python3` is in this suite, such as `python3.11-minimal`, and its program.
  python = head (builtins.filter (name: match "python3\\.[0-9]+-minimal" name != null) (recordOf "python3-minimal").depends);
  pythonProgram = "${packages.${python}}/usr/bin/${lib.removeSuffix "-minimal" python}";
  hasModules = name: lib.elem "python3" (recordOf name).depends || name == "lib${python}" || name == "lib${lib.removeSuffix "-minimal" python}-stdlib";
  closureOf = wanted: map (one: one.key) (builtins.genericClosure {
    startSet = map (key: { inherit key; }) wanted;
    operator = one: let record = recordOf one.key; in map (key: { inherit key; }) (record.depends ++ record.group or [ ]);
  });

  # Byte code of a package's Python modules, which on Debian is made when the package is installed.
  byteCodeOf = name: derivation {
    name = "${packages.${name}.drvAttrs.name}-bytecode";
    inherit (about) system;
    builder = pythonProgram;
    args = [ "-S" ./bytecode.py packages.${name} (builtins.placeholder "out") ];
    PYTHONHOME = "${makeFarm' { packages = [ packages.${python} ]; }}/usr";
    # By which sets of constants are in the same order each time.
    PYTHONHASHSEED = "0";
  };
  byteCodeFor = names:
    let needed = closureOf names; in
    if !lib.elem python needed then [ ]
    else map byteCodeOf (lib.unique (map (name: head ((recordOf name).group or [ name ])) (builtins.filter hasModules needed)));

  # A system's farm, in which `wrappers` is where setuid programs are on a running system, and `links` are more links: path -> target.
  # With `byteCode`, Python finds its modules compiled there: programs start sooner, once that has been done.
  makeFarm' = { packages, wrappers ? null, links ? { }, byteCode ? false }:
  let compiled = lib.optionals (byteCode && names ? python3-minimal) (byteCodeFor (map (package: package.debian.name) packages)); in
  derivation ({
    name = "usr";
    inherit (about) system;
    inherit packages;
    builder = "builtin:debian-farm";
    format = if compiled == [ ] then "3" else "4";
  }
  // lib.optionalAttrs (compiled != [ ]) { byteCode = compiled; }
  // lib.optionalAttrs (wrappers != null) { inherit wrappers; }
  // lib.optionalAttrs (links != { }) { links = builtins.toJSON links; });
in
{
  inherit (about) system;
  inherit about names packages;
  folder = snapshot;

  /** Names that are no identifiers, spelled as ones: `libstdc__6`, `python3_11`, `_7zip`. */
  spelled = mapAttrs (_: name: packages.${name}) (read "spelled.json");

  /** What stands for a virtual name: `virtual.awk`. */
  virtual = mapAttrs (_: name: packages.${name}) (read "virtual.json");

  /** [package] -> derivation: the tree of all that they need, to be a /usr. */
  makeFarm = wanted: makeFarm' { packages = wanted; };

  inherit makeFarm' canLaunch launchersFor;
}
