let a = derivation { name = "a"; builder = "b"; system = "s"; }; in (derivation { name = "b"; builder = "b"; system = "s"; inherit a; text = "${a}/bin"; }).drvPath
