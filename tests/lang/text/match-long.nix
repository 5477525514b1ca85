builtins.stringLength (builtins.head (builtins.match "(x*)y" (builtins.concatStringsSep "" (builtins.genList (_: "x") 2000) + "y")))
