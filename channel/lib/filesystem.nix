/**
  Looking at files and folders while evaluating.  Nothing is copied to the store.
*/
{ lib }:
let
  inherit (builtins) concatLists pathExists readDir;
in
rec {
  /** path -> "regular", "directory", "symlink" or "unknown"; an error where nothing is.
      filesystem.pathType ./lists.nix => "regular" */
  pathType = builtins.readFileType or (path:
    let found = if dirOf path == path then "directory" else (readDir (dirOf path)).${baseNameOf path} or null; in
    if found == null then throw "lib.filesystem.pathType: there is nothing at ${toString path}" else found);

  /** path -> bool
      filesystem.pathIsDirectory ./. => true */
  pathIsDirectory = path: pathExists path && pathType path == "directory";

  /** path -> bool
      filesystem.pathIsRegularFile ./lists.nix => true */
  pathIsRegularFile = path: pathExists path && pathType path == "regular";

  /** path -> { name = path; }: the folders that hold a .cabal file of their own name, and such files in the folder itself.
      filesystem.haskellPathsInDir ./. => { } */
  haskellPathsInDir = root:
    lib.filterAttrs (name: path: pathIsRegularFile (path + "/${name}.cabal"))
      (lib.mapAttrs (name: _: root + "/${name}") (lib.filterAttrs (_: type: type == "directory") (readDir root)));

  /** regular expression -> path -> null or { path; matches; }: the nearest folder at or above that has a file of such a name.
      (filesystem.locateDominatingFile "l(is)ts\\.nix" ./lists.nix).matches => [ [ "is" ] ] */
  locateDominatingFile = pattern: file:
    let
      go = path:
        let
          matches = builtins.filter (m: m != null) (map (builtins.match pattern) (builtins.attrNames (readDir path)));
        in
        if matches != [ ] then { inherit path matches; } else if dirOf path == path then null else go (dirOf path);
    in
    go (if pathIsDirectory file then file else dirOf file);

  /** path -> [path]: all files below a folder.
      elem ./lists.nix (filesystem.listFilesRecursive ./.) => true */
  listFilesRecursive = folder:
    concatLists (lib.mapAttrsToList
      (name: type: if type == "directory" then listFilesRecursive (folder + "/${name}") else [ (folder + "/${name}") ])
      (readDir folder));

  /** path -> path: `default.nix` of a folder; a file as it is.
      filesystem.resolveDefaultNix ./. => ./default.nix */
  resolveDefaultNix = path: if pathIsDirectory path || lib.hasSuffix "/" (toString path) then path + "/default.nix" else path;

  /** { callPackage; directory; newScope ? null; recurseIntoDirectory ? …; } -> set
      A package for each `name.nix` and each folder with a `package.nix`; other folders are sets of packages.
      e.g. packagesFromDirectoryRecursive { inherit (pkgs) callPackage; directory = ./packages; } */
  packagesFromDirectoryRecursive =
    { callPackage, directory, newScope ? null, recurseIntoDirectory ? packagesFromDirectoryRecursive, ... }@args:
    let
      entries = scope: lib.concatMapAttrs
        (name: type:
          let path = directory + "/${name}"; in
          if type == "directory" then { ${name} = recurseIntoDirectory (args // scope // { directory = path; }); }
          else if type != "regular" then throw "lib.packagesFromDirectoryRecursive: ${toString path} is a ${type}, and must be a file or a folder"
          else if lib.hasSuffix ".nix" name then { ${lib.removeSuffix ".nix" name} = scope.callPackage path { }; }
          else { })
        (readDir directory);
    in
    if pathExists (directory + "/package.nix") then callPackage (directory + "/package.nix") { }
    else if newScope == null then entries { inherit callPackage; }
    # With a scope, the packages of a folder see each other.
    else lib.recurseIntoAttrs (lib.makeScope newScope (self: entries { inherit (self) callPackage newScope; }));
}
