let a = derivation { name = "a"; builder = "b"; system = "s"; }; in (derivation { name = "s"; builder = "b"; system = "s"; __structuredAttrs = true; deps = { inherit a; }; }).drvPath
