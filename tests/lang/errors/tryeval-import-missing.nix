builtins.tryEval (import ../fixtures/no-such-file.nix)
