(derivation { name = "n"; builder = "b"; system = "s"; f = x: x; }).drvPath
