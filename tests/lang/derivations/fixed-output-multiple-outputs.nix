(derivation { name = "fixed"; builder = "b"; system = "s"; outputs = [ "out" "dev" ]; outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "x"; }).outPath
