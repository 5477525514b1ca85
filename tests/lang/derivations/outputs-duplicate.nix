(derivation { name = "n"; builder = "b"; system = "s"; outputs = [ "out" "out" ]; }).drvPath
