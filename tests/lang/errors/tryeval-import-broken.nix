builtins.tryEval (import ../fixtures/broken.nix)
