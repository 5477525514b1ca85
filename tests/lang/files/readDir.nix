builtins.readDir ../fixtures/tree
