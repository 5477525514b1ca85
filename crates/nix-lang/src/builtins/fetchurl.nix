# `<nix/fetchurl.nix>`: a download as a fixed-output derivation of the builder `builtin:fetchurl`, which needs no other package.
# A hash is given as `hash` (SRI), by its algorithm's name, or as `outputHash` with `outputHashAlgo`.
{ url
, name ? baseNameOf (toString url)
, executable ? false
, unpack ? false
, impure ? false
, hash ? ""
, md5 ? ""
, sha1 ? ""
, sha256 ? ""
, sha512 ? ""
, outputHash ? null
, outputHashAlgo ? null
, system ? ""
}:
let
  candidates = [
    { outputHash = hash; outputHashAlgo = ""; }
    { outputHash = sha512; outputHashAlgo = "sha512"; }
    { outputHash = sha1; outputHashAlgo = "sha1"; }
    { outputHash = md5; outputHashAlgo = "md5"; }
  ];
  found = __head (__filter (candidate: candidate.outputHash != "") candidates
    ++ [ { outputHash = sha256; outputHashAlgo = "sha256"; } ]);
  given = {
    outputHash = if outputHash == null then found.outputHash else outputHash;
    outputHashAlgo = if outputHashAlgo == null then found.outputHashAlgo else outputHashAlgo;
  };
in
derivation ({
  inherit name url executable unpack;
  urls = [ url ];
  system = "builtin";
  builder = "builtin:fetchurl";
  outputHashMode = if unpack || executable then "recursive" else "flat";
  preferLocalBuild = true;
  # Kept because it is part of what such derivations have always been hashed from.
  impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
} // (if impure then { __impure = true; } else given))
