(derivation { name = "b"; builder = ../fixtures/tree/run.sh; system = "s"; }).drvPath
