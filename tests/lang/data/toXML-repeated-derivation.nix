let d = derivation { name = "d"; builder = "b"; system = "s"; }; in builtins.toXML [ d d ]
