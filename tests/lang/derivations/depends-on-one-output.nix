let a = derivation { name = "a"; builder = "b"; system = "s"; outputs = [ "out" "dev" ]; }; in (derivation { name = "b"; builder = "b"; system = "s"; inherit (a) dev; }).drvPath
