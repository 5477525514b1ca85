(import ../fixtures/values.nix).function 1
