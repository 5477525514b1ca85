let step = i: prev: derivation { name = "step-${toString i}"; builder = "b"; system = "s"; inherit prev; }; in (builtins.foldl' (acc: i: step i acc) "start" (builtins.genList (i: i) 20)).drvPath
