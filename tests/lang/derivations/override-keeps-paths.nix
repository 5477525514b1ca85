let d = derivation { name = "n"; builder = "b"; system = "s"; }; in (d // { name = "other"; }).drvPath == d.drvPath
