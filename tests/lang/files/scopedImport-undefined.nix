builtins.scopedImport { x = 1; } ../fixtures/scoped.nix
