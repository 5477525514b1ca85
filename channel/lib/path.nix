/**
  Paths, and subpaths: strings such as `./src/main.c` that lead downwards from somewhere, and never up.
*/
{ lib }:
let
  inherit (builtins) concatStringsSep elem filter isPath isString length match typeOf;

  componentsOf = text: filter (part: part != "" && part != ".") (lib.splitString "/" text);
  subpathOf = components: if components == [ ] then "./." else "./" + concatStringsSep "/" components;

  # Why a string is no subpath, or null.
  fault = text:
    if !isString text then "it is a ${typeOf text}, and must be a string"
    else if text == "" then "it is empty; `./.` is the place itself"
    else if builtins.substring 0 1 text == "/" then "it begins with a slash, and must lead down from somewhere"
    else if elem ".." (lib.splitString "/" text) then "it holds `..`, which may lead up"
    else null;

  check = name: text: value:
    let wrong = fault text; in
    if wrong == null then value
    else throw "lib.path.${name}: ${if isString text then "\"${text}\"" else "the argument"} is no subpath: ${wrong}";

  checkPath = name: path: value:
    if isPath path then value else throw "lib.path.${name}: the argument is a ${typeOf path}, and must be a path";
in
rec {
  /** path -> subpath -> path
      path.append /etc "nix/nix.conf" => /etc/nix/nix.conf */
  append = path: subpath: checkPath "append" path (check "append" subpath (path + ("/" + subpath)));

  /** path -> path -> bool: is the second the first, or below it?
      path.hasPrefix /etc /etc/nix => true */
  hasPrefix = prefix: path:
    checkPath "hasPrefix" prefix (checkPath "hasPrefix" path (lib.lists.hasPrefix (componentsOf (toString prefix)) (componentsOf (toString path))));

  /** path -> path -> subpath: how the second is reached from the first.
      path.removePrefix /etc /etc/nix/nix.conf => "./nix/nix.conf" */
  removePrefix = prefix: path:
    if hasPrefix prefix path then subpathOf (lib.drop (length (componentsOf (toString prefix))) (componentsOf (toString path)))
    else throw "lib.path.removePrefix: ${toString path} is not below ${toString prefix}";

  /** path -> { root; subpath; }
      (path.splitRoot /etc/nix).subpath => "./etc/nix" */
  splitRoot = path: checkPath "splitRoot" path { root = /.; subpath = subpathOf (componentsOf (toString path)); };

  /** path -> bool: in the store, or an object of it?
      path.hasStorePathPrefix /etc => false */
  hasStorePathPrefix = path:
    checkPath "hasStorePathPrefix" path (match "${builtins.storeDir}/[0-9a-z]{32}-.*" (toString path) != null);

  /** Functions of subpaths. */
  subpath = {
    /** value -> bool
        path.subpath.isValid "../x" => false */
    isValid = text: fault text == null;

    /** [subpath] -> subpath
        path.subpath.join [ "a" "b/c" ] => "./a/b/c" */
    join = texts: subpathOf (builtins.concatMap (text: check "subpath.join" text (componentsOf text)) texts);

    /** subpath -> subpath: one spelling for all that mean the same.
        path.subpath.normalise "a//b/." => "./a/b" */
    normalise = text: check "subpath.normalise" text (subpathOf (componentsOf text));

    /** subpath -> [string]
        path.subpath.components "./a/b" => [ "a" "b" ] */
    components = text: check "subpath.components" text (componentsOf text);
  };
}
