(derivation { name = throw "lazy"; builder = "b"; system = "s"; }).type
