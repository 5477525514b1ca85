(derivation { name = "n"; builder = "b"; system = "s"; outputHashMode = "text"; outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "x"; }).outPath
