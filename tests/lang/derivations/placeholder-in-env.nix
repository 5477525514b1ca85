(derivation { name = "n"; builder = "b"; system = "s"; flags = "--prefix=${builtins.placeholder "out"}"; }).drvPath
