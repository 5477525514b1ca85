builtins.hasContext (toString ../fixtures/text.txt)
