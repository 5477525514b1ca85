(derivation { name = "n"; builder = "b"; system = "s"; f = throw "in env"; }).outPath
