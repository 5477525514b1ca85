builtins.derivationStrict { name = "n"; builder = "b"; system = "s"; outputs = [ "out" "doc" ]; }
