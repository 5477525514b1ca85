import ../fixtures/broken.nix
