builtins.readFileType ../fixtures/no-such-file
