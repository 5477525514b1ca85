builtins.path { path = ../fixtures/no-such-file; }
