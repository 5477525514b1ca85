let x = 1; y = 2; in import ../fixtures/scoped.nix
