let d = derivation { name = "d"; builder = "b"; system = "s"; }; in builtins.toFile "x" "refers to ${builtins.unsafeDiscardOutputDependency d.drvPath}"
