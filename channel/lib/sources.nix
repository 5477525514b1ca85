/**
  Sources: parts of a folder, for the store.

  A source with a filter is a set `{ origSrc; filter; name; outPath; }`, so that filters can be put upon each other and the folder
  is copied once, when it is used.
*/
{ lib }:
let
  inherit (builtins) match pathExists readFile;

  # A path or such a set as its parts.
  unwrap = src:
    if src ? _isLibCleanSourceWith then { inherit (src) origSrc filter name; }
    else { origSrc = src; filter = _: _: true; name = null; };

  # The commit as { value }, or { error }.
  findCommit = path:
    let
      folder =
        # Of a worktree or a submodule `.git` is a file that names the folder.
        if pathExists path && lib.filesystem.pathType path == "regular" then
          let link = match "gitdir: (.*)\n?" (readFile path); in
          if link == null then null
          else let target = lib.removeSuffix "\n" (builtins.head link); in
            if lib.hasPrefix "/" target then target else toString (dirOf path) + "/${target}"
        else toString path;
      common = let file = "${folder}/commondir"; in
        if pathExists file then "${folder}/${lib.fileContents file}" else folder;
      resolve = ref:
        let
          places = builtins.filter pathExists [ "${folder}/${ref}" "${common}/${ref}" ];
          text = lib.fileContents (builtins.head places);
          next = match "ref: (.*)" text;
          packed = if pathExists "${common}/packed-refs" then lib.splitString "\n" (readFile "${common}/packed-refs") else [ ];
          line = lib.findFirst (lib.hasSuffix " ${ref}") null packed;
        in
        if places != [ ] then (if next == null then { value = text; } else resolve (builtins.head next))
        else if line != null then { value = builtins.head (lib.splitString " " line); }
        else { error = "${toString path} has no reference `${ref}`"; };
    in
    if folder == null || !pathExists "${folder}/HEAD" then { error = "${toString path} is no folder of git's; name the `.git` in the checkout"; }
    else resolve "HEAD";
in
rec {
  inherit (lib.filesystem) pathIsDirectory pathIsRegularFile pathType;

  /** file name -> type -> bool: no version control, editors' backups, objects, results of nix-build, sockets and devices.
      cleanSourceFilter "/x/.git" "directory" => false */
  cleanSourceFilter = name: type:
    let base = baseNameOf (toString name); in
    !(
      base == ".git"
      || (type == "directory" && builtins.elem base [ ".svn" "CVS" ".hg" ".jj" ".pijul" "_darcs" ])
      || match "^\\.sw[a-z]$" base != null
      || match "^\\..*\\.sw[a-z]$" base != null
      || lib.any (suffix: lib.hasSuffix suffix base) [ "~" ".o" ".so" ]
      || (type == "symlink" && lib.hasPrefix "result" base)
      || type == "unknown"
    );

  /** path or source -> source: by `cleanSourceFilter`.
      e.g. cleanSource ./. */
  cleanSource = src: cleanSourceWith { filter = cleanSourceFilter; inherit src; };

  /** { src; filter ? all; name ? "source"; } -> source: what this filter and those of the source let through.
      e.g. cleanSourceWith { src = ./.; filter = path: type: type != "symlink"; } */
  cleanSourceWith = { src, filter ? _: _: true, name ? null }:
    let
      old = unwrap src;
      self = {
        _isLibCleanSourceWith = true;
        inherit (old) origSrc;
        filter = path: type: filter path type && old.filter path type;
        name = if name != null then name else if old.name != null then old.name else "source";
        outPath = builtins.path { path = self.origSrc; inherit (self) filter name; };
      };
    in
    self;

  /** path or source -> source: says on stderr which files are looked at, and what became of them.
      e.g. sources.trace (cleanSource ./.) */
  trace = src:
    let old = unwrap src; in
    cleanSourceWith {
      inherit src;
      filter = path: type:
        let kept = old.filter path type; in
        builtins.trace "${toString old.origSrc}: ${lib.boolToString kept} for ${path} (${type})" kept;
    };

  /** path or source -> [regular expression] -> source: files whose path below the source matches one of these as a whole.
      e.g. sourceByRegex ./. [ "src" "src/.*\\.c" ] */
  sourceByRegex = src: patterns:
    let
      root = toString (unwrap src).origSrc + "/";
    in
    cleanSourceWith {
      inherit src;
      filter = path: _: let below = lib.removePrefix root (toString path); in lib.any (pattern: match pattern below != null) patterns;
    };

  /** path or source -> [suffix] -> source: all folders, and the files that end so.
      e.g. sourceFilesBySuffices ./. [ ".c" ".h" ] */
  sourceFilesBySuffices = src: suffixes:
    cleanSourceWith {
      inherit src;
      filter = path: type: type == "directory" || lib.any (suffix: lib.hasSuffix suffix (baseNameOf path)) suffixes;
    };

  /** path -> bool: does its name mention something in the store?
      pathHasContext "/x" => false */
  pathHasContext = builtins.hasContext or (path: builtins.getContext path != { });

  /** path or source -> bool: can it be filtered, or is it in the store already?
      canCleanSource ./. => true */
  canCleanSource = src: src ? _isLibCleanSourceWith || !pathHasContext (toString src);

  /** path -> bool: a folder of git's (or a file that names one), with a commit?
      pathIsGitRepo ./. => false */
  pathIsGitRepo = path: (findCommit path) ? value;

  /** path -> string: the commit that a repository's `.git` folder has checked out.
      e.g. commitIdFromGitRepo ./.git */
  commitIdFromGitRepo = path:
    let found = findCommit path; in
    found.value or (throw "lib.commitIdFromGitRepo: ${found.error}");
}
