/**
  Sets of files, to say which ones a package is made from.

  A file set is what its files are, and nothing of folders: `toSource` makes the folders that are needed.  A path can stand wherever
  a file set is wanted, and means the file, or all files below the folder.  The files are looked at when the set is used.
*/
{ lib }:
let
  inherit (builtins) attrNames intersectAttrs isPath listToAttrs pathExists readDir typeOf;

  # `files` maps each file's absolute name to its type.
  make = files: { _type = "fileset"; inherit files; };

  filesBelow = path: type:
    if type == "directory" then lib.mergeAttrsList (lib.mapAttrsToList (name: filesBelow (path + "/${name}")) (readDir path))
    else { ${toString path} = type; };

  coerce = name: x:
    if lib.isType "fileset" x then x
    else if isPath x then
      if pathExists x then make (filesBelow x (lib.filesystem.pathType x))
      else throw "lib.fileset.${name}: there is nothing at ${toString x}; `maybeMissing` takes what may not be there"
    else if x ? _isLibCleanSourceWith then
      throw "lib.fileset.${name}: a source was given, and not a file set; `lib.fileset.fromSource` makes one of it"
    else throw "lib.fileset.${name}: a ${typeOf x} was given, and not a file set or a path";

  filesOf = name: x: (coerce name x).files;
in
rec {
  /** file set or path -> file set -> file set: what is in one of them.
      length (fileset.toList (fileset.union ./lists.nix ./trivial.nix)) => 2 */
  union = a: b: unions [ a b ];

  /** [file set or path] -> file set
      fileset.toList (fileset.unions [ ./lists.nix ./lists.nix ]) => [ ./lists.nix ] */
  unions = sets: make (lib.mergeAttrsList (map (filesOf "unions") sets));

  /** file set or path -> file set or path -> file set: what is in both.
      fileset.toList (fileset.intersection ./. ./lists.nix) => [ ./lists.nix ] */
  intersection = a: b: make (intersectAttrs (filesOf "intersection" a) (filesOf "intersection" b));

  /** file set or path -> file set or path -> file set: what is in the first only.
      fileset.toList (fileset.difference ./lists.nix ./.) => [ ] */
  difference = a: b: make (removeAttrs (filesOf "difference" a) (attrNames (filesOf "difference" b)));

  /** ({ name; type; hasExt; } -> bool) -> path -> file set: the files below that fit.
      fileset.toList (fileset.fileFilter (file: file.name == "lists.nix") ./.) => [ ./lists.nix ] */
  fileFilter = pred: path:
    let
      fits = file: type:
        let name = baseNameOf file; in
        pred { inherit name type; hasExt = ext: lib.hasSuffix ".${ext}" name; };
    in
    if !isPath path then
      throw "lib.fileset.fileFilter: the second argument is a ${typeOf path}, and must be a path; `intersection` narrows a file set"
    else make (lib.filterAttrs fits (filesOf "fileFilter" path));

  /** path -> file set: empty where nothing is.
      fileset.toList (fileset.maybeMissing ./no-such-file) => [ ] */
  maybeMissing = path:
    if !isPath path then throw "lib.fileset.maybeMissing: the argument is a ${typeOf path}, and must be a path"
    else if pathExists path then coerce "maybeMissing" path else make { };

  /** source -> file set: the files that its filter lets through.
      e.g. fileset.fromSource (lib.cleanSource ./.) */
  fromSource = source:
    let
      root = source.origSrc or source;
      keep = source.filter or (_: _: true);
      below = path: type:
        if path != root && !keep (toString path) type then { }
        else if type == "directory" then lib.mergeAttrsList (lib.mapAttrsToList (name: below (path + "/${name}")) (readDir path))
        else { ${toString path} = type; };
    in
    make (below root (lib.filesystem.pathType root));

  /** { root; fileset; } -> source: these files below a folder, for the store.
      e.g. src = fileset.toSource { root = ./.; fileset = fileset.unions [ ./src ./Makefile ]; } */
  toSource = { root, fileset }:
    let
      files = filesOf "toSource" fileset;
      top = toString root;
      outside = builtins.filter (file: !lib.hasPrefix (top + "/") file) (attrNames files);
      # Every folder on the way to a file.
      parents = file: let dir = dirOf file; in if dir == top || dir == "/" then [ ] else [ dir ] ++ parents dir;
      folders = listToAttrs (map (name: { inherit name; value = true; }) (builtins.concatMap parents (attrNames files)));
    in
    if !isPath root then throw "lib.fileset.toSource: `root` is a ${typeOf root}, and must be a path"
    else if !lib.pathIsDirectory root then throw "lib.fileset.toSource: `root`, ${top}, is no folder"
    else if outside != [ ] then
      throw "lib.fileset.toSource: ${builtins.head outside} is in the file set and not below `root`, ${top}; choose a higher root"
    else lib.cleanSourceWith {
      src = root;
      filter = path: type: if type == "directory" then folders ? ${path} else files ? ${path};
    };

  /** file set or path -> [path]: sorted.
      fileset.toList ./lists.nix => [ ./lists.nix ] */
  toList = set: map (name: /. + name) (attrNames (filesOf "toList" set));

  /** value -> bool
      fileset.isFileset ./lists.nix => true */
  isFileset = x: lib.isType "fileset" x || isPath x;

  /** file set or path -> a -> a: shows the files on stderr.
      fileset.trace (fileset.maybeMissing ./no-such-file) 1 => 1 */
  trace = set: value:
    let names = attrNames (filesOf "trace" set); in
    builtins.trace (if names == [ ] then "(empty)" else builtins.concatStringsSep "\n" names) value;

  /** file set or path -> file set
      e.g. fileset.traceVal ./src */
  traceVal = set: trace set set;
}
