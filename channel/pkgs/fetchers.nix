/**
  Sources from the network, by nivalis's own builder: fixed outputs that need no package.

  `fetchzip` and what rests on it unpack as they fetch, and the hash is that of the tree, as in nixpkgs; hashes from there hold here.
*/
{ lib, config }:
let
  inherit (builtins) baseNameOf concatLists concatMap elemAt head isList match;

  mirrors = {
    gnu = [ "https://ftpmirror.gnu.org/" "https://ftp.gnu.org/gnu/" ];
    kernel = [ "https://cdn.kernel.org/pub/" ];
    savannah = [ "https://download.savannah.nongnu.org/releases/" ];
    sourceforge = [ "https://downloads.sourceforge.net/" ];
  };
  expand = url:
    let parts = match "mirror://([a-z]+)/(.*)" url; in
    if parts == null then [ url ]
    else if mirrors ? ${head parts} then map (place: place + elemAt parts 1) mirrors.${head parts}
    else throw "fetchurl: no mirrors are known by the name `${head parts}` (`${url}`); give an address, or one of these: ${toString (builtins.attrNames mirrors)}";

  noHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  algorithms = [ "sha256" "sha512" "sha1" "md5" ];
  # { outputHash, outputHashAlgo } from the ways in which people write hashes.
  hashOf = who: args:
    let
      named = builtins.filter (algorithm: args.${algorithm} or null != null) algorithms;
      text = args.hash or args.outputHash or args.${head named};
      sri = match "(sha256|sha512|sha1|md5)[-:].*" text;
      given = args ? hash || args ? outputHash || named != [ ];
      algorithm =
        if sri != null then head sri
        else if args ? outputHashAlgo then args.outputHashAlgo
        else if named != [ ] then head named
        else "sha256";
    in
    if !given then throw "${who}: needs the hash of what it fetches: write `hash = \"\";` first, and the build says which it is"
    else if text == "" then { outputHash = noHash; outputHashAlgo = "sha256"; }
    else { outputHash = text; outputHashAlgo = algorithm; };

  # What a file of this address is called in the store.
  nameOf = url: lib.strings.sanitizeDerivationName (baseNameOf (head (lib.splitString "?" url)));

  fetch = who: { name, urls, attrs, more ? { } }:
    let
      places = concatMap expand urls;
      drv = derivation ({
        inherit name;
        system = "builtin";
        builder = "builtin:fetchurl";
        preferLocalBuild = true;
        impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
      }
      // (if builtins.length places == 1 then { url = head places; } else { urls = places; url = head places; })
      // hashOf who attrs
      // more);
    in
    drv // { urls = places; url = head places; meta = attrs.meta or { }; } // attrs.passthru or { };

  urlsOf = who: { url ? null, urls ? null, ... }:
    if urls != null && urls != [ ] then urls
    else if isList url then url
    else if url != null then [ url ]
    else throw "${who}: needs an address: `url = \"https://…\";`";
in
rec {
  /** { url or urls; hash or sha256 …; name ?; executable ?; } -> derivation: one file. */
  fetchurl = args:
    let urls = urlsOf "fetchurl" args; in
    fetch "fetchurl" {
      inherit urls;
      attrs = args;
      name = if args.name or "" != "" then args.name else if args ? pname then "${args.pname}-${args.version}" else nameOf (head urls);
      more = { outputHashMode = if args.executable or false || args.recursiveHash or false then "recursive" else "flat"; executable = args.executable or false; };
    };

  /** { url or urls; hash; name ? "source"; stripRoot ? true; } -> derivation: the folder at the top of an archive, or all that it has. */
  fetchzip = args: fetch "fetchzip" {
    urls = urlsOf "fetchzip" args;
    attrs = args;
    name = args.name or "source";
    more = { outputHashMode = "recursive"; unpack = true; } // lib.optionalAttrs (!(args.stripRoot or true)) { stripRoot = false; };
  };
  fetchTarball = fetchzip;

  /** { owner; repo; rev or tag; hash; name ?; } -> derivation */
  fetchFromGitHub = { owner, repo, rev ? null, tag ? null, githubBase ? "github.com", fetchSubmodules ? false, ... }@args:
    let
      reference = if tag != null then "refs/tags/${tag}" else if rev != null then rev else throw "fetchFromGitHub: needs `rev` or `tag` of ${owner}/${repo}";
    in
    if fetchSubmodules then throw "fetchFromGitHub: an archive has no submodules; `builtins.fetchGit { url = …; submodules = true; }` fetches them"
    else fetchzip (removeAttrs args [ "owner" "repo" "rev" "tag" "githubBase" "fetchSubmodules" ] // { url = "https://${githubBase}/${owner}/${repo}/archive/${reference}.tar.gz"; })
      // { inherit owner repo; rev = reference; };

  /**
    { pname; version; hash; format ? "setuptools"; extension ? "tar.gz"; … } -> derivation: a Python package's source, or its wheel.

    The arguments are those of nixpkgs.  Which index is asked is the matter of the machine that fetches: the one that its pip and uv ask.
  */
  fetchPypi =
    { pname, version, format ? "setuptools", extension ? "tar.gz", python ? "py2.py3", abi ? "none", platform ? "any", ... }@args:
    let
      file =
        if format == "wheel" then "${pname}-${version}-${python}-${abi}-${platform}.whl"
        else "${pname}-${version}.${extension}";
      drv = derivation ({
        name = lib.strings.sanitizeDerivationName file;
        system = "builtin";
        builder = "builtin:pypi-fetch";
        # As indices call it (PEP 503).
        project = lib.concatStringsSep "-" (builtins.filter lib.isString (builtins.split "[-_.]+" (lib.toLower pname)));
        inherit file;
        outputHashMode = "flat";
        preferLocalBuild = true;
      } // hashOf "fetchPypi" args);
    in
    drv // { meta = args.meta or { }; } // args.passthru or { };

  /** As fetchFromGitHub, from a GitLab. */
  fetchFromGitLab = { owner, repo, rev, domain ? "gitlab.com", ... }@args:
    fetchzip (removeAttrs args [ "owner" "repo" "rev" "domain" ] // { url = "https://${domain}/${owner}/${repo}/-/archive/${rev}/${repo}-${rev}.tar.gz"; })
      // { inherit owner repo rev; };

  /** { url; rev; … } -> path: fetched while evaluating, by Git. */
  fetchgit = { url, rev, name ? "source", fetchSubmodules ? false, ... }: builtins.fetchGit { inherit url rev name; submodules = fetchSubmodules; allRefs = true; };
}
