let d = derivation { name = "n"; builder = "b"; system = "s"; extra = 1; f = [ "x" ]; }; in [ d.extra d.builder (d ? args) d.drvAttrs ]
