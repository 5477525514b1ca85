let d = derivation { name = "simple"; builder = "/bin/sh"; system = "x86_64-linux"; }; in { inherit (d) drvPath outPath type name; all = builtins.length d.all; names = builtins.attrNames d; }
