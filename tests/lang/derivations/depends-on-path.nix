(derivation { name = "src"; builder = "b"; system = "s"; src = ../fixtures/text.txt; }).drvPath
