import ../fixtures/throws.nix
