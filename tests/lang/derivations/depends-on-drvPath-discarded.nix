let a = derivation { name = "a"; builder = "b"; system = "s"; }; in (derivation { name = "b"; builder = "b"; system = "s"; drv = builtins.unsafeDiscardOutputDependency a.drvPath; }).drvPath
