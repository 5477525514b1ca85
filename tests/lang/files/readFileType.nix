map builtins.readFileType [ ../fixtures/tree ../fixtures/text.txt ../fixtures/tree/link ../fixtures/tree/dangling ]
