(derivation { name = builtins.toFile "a" "b"; builder = "b"; system = "s"; }).drvPath
