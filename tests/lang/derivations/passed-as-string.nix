let d = derivation { name = "n"; builder = "b"; system = "s"; }; in [ (toString d) "${d}/bin" (d + "/lib") (d.outPath == toString d) ]
