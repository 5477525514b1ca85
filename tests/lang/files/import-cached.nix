import ../fixtures/values.nix == import ../fixtures/folder/../values.nix
