[ (builtins.sort (throw "never") [ ]) ]
