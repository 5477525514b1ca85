import ../fixtures/no-such-file.nix
