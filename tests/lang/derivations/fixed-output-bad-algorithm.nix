(derivation { name = "fixed"; builder = "b"; system = "s"; outputHashAlgo = "sha999"; outputHash = "abc"; }).outPath
