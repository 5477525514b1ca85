builtins.stringLength ../fixtures/text.txt
