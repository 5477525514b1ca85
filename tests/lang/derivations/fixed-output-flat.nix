let d = derivation { name = "fixed"; builder = "b"; system = "s"; outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "x"; }; in [ d.drvPath d.outPath ]
