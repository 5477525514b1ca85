builtins.attrValues (builtins.intersectAttrs (builtins.listToAttrs (builtins.genList (i: { name = "n${toString i}"; value = i; }) 100)) { n3 = "three"; n50 = "fifty"; m = 1; })
