(derivation { name = "structured"; builder = "b"; system = "s"; __structuredAttrs = true; outputs = [ "out" "dev" ]; outputChecks.out.maxSize = 10; }).drvPath
