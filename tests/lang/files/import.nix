import ../fixtures/values.nix // { function = null; }
