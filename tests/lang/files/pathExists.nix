map builtins.pathExists [ ../fixtures ../fixtures/text.txt ../fixtures/no-such-file ../fixtures/tree/link ../fixtures/tree/dangling ../fixtures/text.txt/below ]
