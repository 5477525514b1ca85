builtins.path { path = ../fixtures/bare.txt; name = ".hidden"; }
