(derivation { name = "fixed"; builder = "b"; system = "s"; outputHashAlgo = "sha256"; outputHash = ""; }).outPath
