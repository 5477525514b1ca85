builtins.readFile ../fixtures/tree/link
