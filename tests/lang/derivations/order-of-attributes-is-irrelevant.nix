(derivation { name = "n"; builder = "b"; system = "s"; z = 1; a = 2; }).drvPath == (derivation { a = 2; z = 1; system = "s"; builder = "b"; name = "n"; }).drvPath
