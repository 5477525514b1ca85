builtins.toJSON ../fixtures/text.txt
