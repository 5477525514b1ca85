builtins.scopedImport { x = 1; y = 2; } ../fixtures/scoped.nix
