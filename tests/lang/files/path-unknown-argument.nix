builtins.path { path = ../fixtures; other = 1; }
