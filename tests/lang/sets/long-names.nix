let s = builtins.listToAttrs (builtins.genList (i: { name = "n${toString i}"; value = i; }) 30); in s
