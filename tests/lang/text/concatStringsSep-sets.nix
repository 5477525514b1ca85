builtins.concatStringsSep "," [ { outPath = "/x"; } { __toString = _: "s"; } "y" ]
