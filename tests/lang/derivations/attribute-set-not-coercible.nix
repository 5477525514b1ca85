(derivation { name = "n"; builder = "b"; system = "s"; f = { a = 1; }; }).drvPath
