builtins.tryEval [ (abort "late") ]
