builtins.readDir ../fixtures/no-such-folder
