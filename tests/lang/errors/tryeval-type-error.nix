builtins.tryEval (1 + { })
