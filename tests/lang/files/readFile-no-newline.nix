[ (builtins.readFile ../fixtures/bare.txt) (builtins.readFile ../fixtures/nothing.txt) ]
