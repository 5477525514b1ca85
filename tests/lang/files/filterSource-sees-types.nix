builtins.filterSource (p: t: builtins.elem t [ "regular" "directory" "symlink" ] || throw "what is ${t}") ../fixtures/tree
