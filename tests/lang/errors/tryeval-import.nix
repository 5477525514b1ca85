builtins.tryEval (import ../fixtures/throws.nix)
