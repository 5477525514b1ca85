/**
  nivalis itself, as a package of the channel.

  Its files are found where the channel is: a channel that `nivalis channel update` made has them in the folder `nivalis` beside this one's parent,
  in an installed nivalis the channel is a folder of the package itself, and in a checkout they are in `src`.
*/
{ lib }:
let
  # The folder that has the package `nivalis`.
  parent =
    if builtins.pathExists ../nivalis/nivalis/__init__.py then ../nivalis
    else if builtins.pathExists ../src/nivalis/__init__.py then ../src
    else if builtins.pathExists ../../src/nivalis/__init__.py then ../../src
    else ../../..;
  root = toString parent;

  # The package, without the channel and what running it leaves there.
  isPart = path: type:
    let
      place = lib.removePrefix "${root}/" path;
      name = baseNameOf path;
    in
    (place == "nivalis" || lib.hasPrefix "nivalis/" place) && name != "__pycache__" && name != "_channel" && type != "unknown";
in
{
  /** A folder that has the package `nivalis`, for Python's search path. */
  source = builtins.path { name = "nivalis-source"; path = parent; filter = isPart; };
}
