let d = derivation { name = "fixed"; builder = "b"; system = "s"; outputHashMode = "recursive"; outputHashAlgo = "sha1"; outputHash = builtins.hashString "sha1" "x"; }; in [ d.drvPath d.outPath ]
