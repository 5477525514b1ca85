builtins.scopedImport { map = f: l: "mine"; } ../fixtures/scoped-outer.nix
