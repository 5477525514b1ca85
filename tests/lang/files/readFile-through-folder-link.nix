builtins.readFile ../fixtures/tree/to-sub/b.txt
