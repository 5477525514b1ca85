import "fixtures/values.nix"
