builtins.tryEval (builtins.match "(a)b" "ab")
